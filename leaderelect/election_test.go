package leaderelect_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sqllock/toolkit/leaderelect"
	"github.com/sqllock/toolkit/sqllock"
)

// slack is what an upper bound allows beyond what is promised: no claim is about speed. Locks that must not run out do so after longTTL.
const (
	slack   = 10 * time.Second
	longTTL = time.Minute
)

// election is held in a database of its own.
type election struct {
	testing.TB
	backend
	dsn string
	app *sql.DB
}

func newElection(tb testing.TB, b backend) *election {
	tb.Helper()
	return newElectionAt(tb, b, b.fresh(tb))
}

func newElectionAt(tb testing.TB, b backend, dsn string) *election {
	tb.Helper()
	e := &election{TB: tb, backend: b, dsn: dsn}
	var err error
	e.app, err = b.db(dsn)
	require.NoError(tb, err)
	tb.Cleanup(func() { _ = e.app.Close() })
	// Whoever writes here while they lead says by which right.
	_, err = e.app.ExecContext(tb.Context(), "CREATE TABLE journal (token BIGINT NOT NULL, line BIGINT NOT NULL)")
	require.NoError(tb, err)
	return e
}

// onBackends holds an election on each.
func onBackends(t *testing.T, test func(e *election)) {
	t.Helper()
	t.Parallel()
	for _, b := range backends {
		t.Run(b.name, func(t *testing.T) {
			t.Parallel()
			test(newElection(t, b))
		})
	}
}

// member is a candidate with a Client and a backend of its own: to the database the same as another process.
type member struct {
	*leaderelect.Elector
	e      *election
	id     string
	locks  *sqllock.Client
	opened opened

	stop    context.CancelFunc
	stopped chan struct{}       // closed when Run has returned
	err     error               // what it has returned then
	granted time.Time           // when it last learnt that it is elected, for Run's goroutine
	elected chan mandate        // each term as it begins
	demoted chan error          // and why it has ended
	act     func(mandate) error // is what a term is, if there is one
}

// mandate is a term with its context.
type mandate struct {
	leaderelect.Term
	ctx     context.Context
	granted time.Time // its lock, on this process's clock
}

// electionTimes notes when a member has been elected, before anything that leads to OnElected.
type electionTimes struct {
	leaderelect.NopTracer
	m *member
}

func (t electionTimes) TraceCampaignEnd(context.Context, leaderelect.CampaignEnd) {
	t.m.granted = time.Now()
}

// client makes a Client whose locks end after ttl if its process is stopped; session locks have a time of their own.
func (b backend) client(dsn, owner string, ttl time.Duration, over dial, log *slog.Logger) (*sqllock.Client, opened, error) {
	o, err := b.open(dsn, over)
	if err != nil {
		return nil, o, err
	}
	opts := []sqllock.ClientOption{sqllock.Owner(owner), sqllock.Logger(log)}
	if o.Capabilities().Leases {
		opts = append(opts, sqllock.TTL(ttl))
	}
	return sqllock.New(o, opts...), o, nil
}

func (e *election) member(id string, configure func(*leaderelect.Config)) *member {
	e.Helper()
	return e.memberOver(nil, id, longTTL, configure)
}

// memberOver is a member that reaches the database in a way of its own, and whose lock may run out.
func (e *election) memberOver(over dial, id string, ttl time.Duration, configure func(*leaderelect.Config)) *member {
	e.Helper()
	m := &member{e: e, id: id, elected: make(chan mandate, 100), demoted: make(chan error, 100)}
	log := slog.New(slog.NewTextHandler(e.Output(), &slog.HandlerOptions{Level: slog.LevelDebug})).With("member", id)
	var err error
	m.locks, m.opened, err = e.client(e.dsn, id, ttl, over, log)
	require.NoError(e, err)
	e.Cleanup(func() {
		assert.NoError(e, m.locks.Close(context.Background()))
		m.opened.close()
	})
	cfg := leaderelect.Config{
		Value: map[string]string{"address": "of " + id}, StandBack: 100 * time.Millisecond, ObserveInterval: 20 * time.Millisecond,
		Logger: log, Tracer: electionTimes{m: m},
		OnElected: func(ctx context.Context, elected leaderelect.Term) error {
			term := mandate{elected, ctx, m.granted}
			m.elected <- term
			if m.act != nil {
				return m.act(term)
			}
			<-ctx.Done()
			return nil
		},
		OnDemoted: func(_ leaderelect.Term, reason error) { m.demoted <- reason },
	}
	if configure != nil {
		configure(&cfg)
	}
	m.Elector, err = leaderelect.New(m.locks, "election", cfg)
	require.NoError(e, err)
	return m
}

// run takes part until the test is over, or stop is called.
func (m *member) run() *member {
	ctx, stop := context.WithCancel(context.Background())
	stopped := make(chan struct{})
	m.stop, m.stopped = stop, stopped
	go func() {
		defer close(stopped)
		m.err = m.Run(ctx)
	}()
	m.e.Cleanup(func() {
		stop()
		<-stopped
	})
	return m
}

// wins waits for the next term of m.
func (m *member) wins(within time.Duration) mandate {
	m.e.Helper()
	select {
	case term := <-m.elected:
		return term
	case <-m.stopped:
		m.e.Fatalf("Run of %s has ended: %v", m.id, m.err)
	case <-time.After(within + slack):
		m.e.Fatalf("%s is not elected within %v and %v: %v", m.id, within, slack, m.IsLeader(m.e.Context()))
	}
	panic("unreachable")
}

// falls waits for the end of m's term, and returns the reason.
func (m *member) falls() error {
	m.e.Helper()
	select {
	case reason := <-m.demoted:
		return reason
	case <-time.After(slack):
		m.e.Fatalf("the term of %s goes on after %v", m.id, slack)
	}
	panic("unreachable")
}

// waits returns when m waits in the database for the lock.
func (m *member) waits() *member {
	m.e.Helper()
	m.sees(m.id)
	return m
}

// sees returns when m knows from the database that somebody waits.
func (m *member) sees(waiter string) {
	m.e.Helper()
	var infos []sqllock.LockInfo
	defer func() {
		if m.e.Failed() {
			m.e.Logf("%s sees last: %+v; %+v", m.id, infos, m.Stats())
		}
	}()
	m.e.eventually(func() bool {
		var err error
		infos, err = m.locks.Locks(m.e.Context())
		require.NoError(m.e, err)
		return slices.ContainsFunc(infos, func(i sqllock.LockInfo) bool { return i.Waiting && i.Owner == waiter })
	}, waiter+" waits")
}

func (e *election) eventually(condition func() bool, what string) {
	e.Helper()
	for deadline := time.Now().Add(slack); !condition(); time.Sleep(2 * time.Millisecond) { // between two looks
		require.True(e, time.Now().Before(deadline), "not within %v: %s", slack, what)
	}
}

// leads waits until others see id lead, with its value.
func (e *election) leads(seer *member, id string, token int64) {
	e.Helper()
	e.eventually(func() bool {
		l, err := seer.Leader(e.Context())
		if err != nil {
			require.ErrorIs(e, err, sqllock.ErrNoLeader)
			return false
		}
		require.LessOrEqual(e, l.Token, token)
		return l.Token == token && assert.Equal(e, id, l.ID) && assert.Equal(e, map[string]string{"address": "of " + id}, l.Value)
	}, id+" is seen to lead")
}

// write appends a line to the journal in a transaction that is guarded by a term.
func write(ctx context.Context, db *sql.DB, o opened, term leaderelect.Term) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	if err := o.guard(ctx, tx, term.Lock()); err != nil {
		return err
	}
	line := fmt.Sprintf("INSERT INTO journal SELECT %d, count(*) FROM journal", term.Token)
	if _, err := tx.ExecContext(ctx, line); err != nil {
		return err
	}
	return tx.Commit()
}

// checkJournal looks whether terms have written one after the other: lines are numbered by who saw how many before, and tokens never go back.
func (e *election) checkJournal() (lines int) {
	e.Helper()
	rows, err := e.app.QueryContext(e.Context(), "SELECT token, line FROM journal ORDER BY line, token")
	require.NoError(e, err)
	defer func() { _ = rows.Close() }()
	var last int64
	for ; rows.Next(); lines++ {
		var token, line int64
		require.NoError(e, rows.Scan(&token, &line))
		require.EqualValues(e, lines, line, "two terms have written at the same time")
		require.GreaterOrEqual(e, token, last, "a former leader has written")
		last = token
	}
	require.NoError(e, rows.Err())
	return lines
}

func TestWaitingCandidateFollowsAResignation(t *testing.T) {
	onBackends(t, func(e *election) {
		a, b := e.member("a", nil), e.member("b", nil)
		first := a.run().wins(0)
		e.leads(b, "a", first.Token)
		b.run().waits()
		require.NoError(e, b.Resign(e.Context()), "which has nothing to resign from")

		require.NoError(e, a.Resign(e.Context()))
		require.ErrorIs(e, a.IsLeader(e.Context()), leaderelect.ErrNotLeader)
		require.ErrorIs(e, context.Cause(first.ctx), leaderelect.ErrResigned)
		require.ErrorIs(e, a.falls(), leaderelect.ErrResigned)
		second := b.wins(0)
		assert.Greater(e, second.Token, first.Token)
		require.NoError(e, b.IsLeader(e.Context()))
		e.leads(a, "b", second.Token)
		assert.False(e, first.Valid())
		require.Error(e, write(e.Context(), e.app, a.opened, first.Term))
		require.NoError(e, write(e.Context(), e.app, b.opened, second.Term))

		b.stop()
		<-b.stopped
		require.NoError(e, b.err)
		require.ErrorIs(e, b.falls(), context.Canceled)
		third := a.wins(0)
		assert.Greater(e, third.Token, second.Token)
	})
}

// TestTermsFollowEachOther has members resign again and again. Terms end before others begin, and what is written in them is in order.
func TestTermsFollowEachOther(t *testing.T) {
	onBackends(t, func(e *election) {
		const rounds = 10
		var mu sync.Mutex
		inside, last, terms := 0, int64(0), 0
		done := make(chan struct{})
		members := []*member{e.member("a", nil), e.member("b", nil), e.member("c", nil)}
		for _, m := range members {
			m.act = func(term mandate) error {
				mu.Lock()
				inside++
				assert.Equal(e, 1, inside, "terms overlap")
				assert.Greater(e, term.Token, last)
				last = term.Token
				terms++
				n := terms
				mu.Unlock()
				defer func() {
					mu.Lock()
					defer mu.Unlock()
					inside--
				}()
				if n > rounds {
					<-term.ctx.Done()
					return nil
				}
				for range 2 {
					assert.NoError(e, write(term.ctx, e.app, m.opened, term.Term))
				}
				if n == rounds {
					close(done)
				}
				return nil
			}
		}
		for _, m := range members {
			m.run()
		}
		select {
		case <-done:
		case <-time.After(rounds * slack):
			e.Fatal("the terms do not follow each other")
		}
		assert.Equal(e, 2*rounds, e.checkJournal())
	})
}

func TestObserversFollowTheLeader(t *testing.T) {
	onBackends(t, func(e *election) {
		a, b, seer := e.member("a", nil), e.member("b", nil), e.member("seer", nil)
		first := a.run().wins(0)
		b.run().waits()
		ctx, cancel := context.WithTimeout(e.Context(), 3*slack)
		defer cancel()
		var seen []leaderelect.Leader
		for leader, err := range seer.Observe(ctx) {
			if errors.Is(err, sqllock.ErrNoLeader) {
				continue // between the two
			}
			require.NoError(e, err)
			if seen = append(seen, leader); len(seen) == 1 {
				require.NoError(e, a.Resign(ctx))
				continue
			}
			break
		}
		second := b.wins(0)
		require.Len(e, seen, 2)
		for i, want := range []struct {
			id    string
			token int64
		}{{"a", first.Token}, {"b", second.Token}} {
			assert.Equal(e, want.id, seen[i].ID)
			assert.Equal(e, want.token, seen[i].Token)
			assert.Equal(e, map[string]string{"address": "of " + want.id}, seen[i].Value)
			assert.WithinDuration(e, time.Now(), seen[i].Since, time.Minute)
		}
		assert.EqualValues(e, 2, seer.Stats().Transitions)
	})
}

func TestForceReleaseEndsTheTerm(t *testing.T) {
	onBackends(t, func(e *election) {
		a, b := e.member("a", nil), e.member("b", nil)
		first := a.run().wins(0)
		b.run().waits()
		require.NoError(e, b.locks.ForceRelease(e.Context(), "election"))
		second := b.wins(0)
		require.Error(e, write(e.Context(), e.app, a.opened, first.Term), "whether or not it has heard of it")
		require.NoError(e, write(e.Context(), e.app, b.opened, second.Term))
		require.Error(e, first.Lock().Verify(e.Context()))
		require.ErrorIs(e, a.falls(), sqllock.ErrLost)
		assert.False(e, first.Valid())
		assert.EqualValues(e, 1, a.Stats().Losses)
	})
}

func TestPanicHandsOver(t *testing.T) {
	onBackends(t, func(e *election) {
		a, b := e.member("a", nil), e.member("b", nil)
		let := make(chan struct{})
		a.act = func(mandate) error {
			<-let
			panic(errTest)
		}
		recovered := make(chan any, 1)
		go func() {
			defer func() { recovered <- recover() }()
			_ = a.Run(e.Context())
		}()
		<-a.elected
		b.run().waits()
		close(let)
		b.wins(0)
		assert.Equal(e, errTest, <-recovered)
		assert.ErrorIs(e, a.falls(), leaderelect.ErrPanicked)
	})
}

func TestIllLeaderHandsOver(t *testing.T) {
	onBackends(t, func(e *election) {
		ill := make(chan struct{})
		a := e.member("a", func(c *leaderelect.Config) {
			c.HealthInterval = time.Second // it is also how long a check may take on a busy machine
			c.Health = func(context.Context) error {
				select {
				case <-ill:
					return errTest
				default:
					return nil
				}
			}
		})
		b := e.member("b", nil)
		a.run().wins(0)
		b.run().waits()
		close(ill)
		b.wins(0)
		reason := a.falls()
		assert.ErrorIs(e, reason, leaderelect.ErrUnhealthy)
	})
}

// TestSessionThatIsEndedEndsTheTerm has the server end the session of a leader in the middle of a guarded transaction. That is the case in which terms can
// overlap: the lock is free before its holder knows. But the next leader is not elected before the transaction has ended.
func TestSessionThatIsEndedEndsTheTerm(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	e := newElection(t, backend{fresh: freshPostgres, open: onPostgres(advisory), db: postgresDB})
	a, b := e.member("a", func(c *leaderelect.Config) { c.MaxBackoff = 100 * time.Millisecond }), e.member("b", nil)
	first := a.run().wins(0)
	b.run().waits()
	tx, err := e.app.BeginTx(ctx, nil)
	require.NoError(t, err)
	defer func() { _ = tx.Rollback() }()
	require.NoError(t, a.opened.guard(ctx, tx, first.Lock()))
	const end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'a'"
	_, err = e.app.ExecContext(ctx, end)
	require.NoError(t, err)
	require.ErrorIs(t, a.falls(), sqllock.ErrLost)
	_, err = b.Leader(ctx)
	require.ErrorIs(t, err, sqllock.ErrNoLeader, "what it has published is left, and counts for nothing")
	a.waits()
	assert.Empty(t, b.elected, "elected while a guarded transaction is open")
	assert.Empty(t, a.elected)

	_, err = tx.ExecContext(ctx, fmt.Sprintf("INSERT INTO journal VALUES (%d, 0)", first.Token))
	require.NoError(t, err)
	require.NoError(t, tx.Commit())
	next, o := mandate{}, opened{}
	select {
	case next = <-a.elected:
		o = a.opened
	case next = <-b.elected:
		o = b.opened
	case <-time.After(slack):
		t.Fatal("nobody is elected")
	}
	assert.Greater(t, next.Token, first.Token)
	require.NoError(t, write(ctx, e.app, o, next.Term))
	assert.Equal(t, 2, e.checkJournal())
}
