package leaderelect_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sqllock/toolkit/leaderelect"
	"github.com/sqllock/toolkit/sqllock"
)

// faultRounds is how often a fault is repeated.
const faultRounds = 20

// writer is a member that writes to the journal for as long as it leads, whatever the database says to that, and tries once more when its term is over.
type writer struct {
	*member
	lines  atomic.Int64 // that were committed
	latest mandate      // for the goroutine of the test
}

func (e *election) writer(id string) *writer {
	e.Helper()
	return e.writerOver(nil, id, longTTL)
}

func (e *election) writerOver(over dial, id string, ttl time.Duration) *writer {
	e.Helper()
	w := &writer{member: e.memberOver(over, id, ttl, func(c *leaderelect.Config) { c.MaxBackoff = 100 * time.Millisecond })}
	w.act = func(term mandate) error {
		for over := false; !over; {
			over = term.ctx.Err() != nil
			if err := write(e.Context(), e.app, w.opened, term.Term); err == nil {
				w.lines.Add(1)
				continue
			}
			select { // a server that is down would be asked all the time
			case <-term.ctx.Done():
			case <-time.After(time.Millisecond):
			}
		}
		return nil
	}
	return w
}

// writes returns when one more line is committed.
func (w *writer) writes() {
	w.e.Helper()
	before := w.lines.Load()
	w.e.eventually(func() bool { return w.lines.Load() > before }, w.id+" writes")
}

// soleLeader returns when one member leads and is known to, and nobody else believes to lead.
func (e *election) soleLeader(all ...*writer) (leader *writer) {
	e.Helper()
	e.eventually(func() bool {
		leader = nil
		for _, w := range all {
			for len(w.elected) > 0 {
				w.latest = <-w.elected
			}
			if !w.latest.Valid() {
				continue
			}
			if leader != nil {
				return false
			}
			leader = w
		}
		if leader == nil || leader.IsLeader(e.Context()) != nil {
			return false
		}
		l, err := all[0].Leader(e.Context())
		return err == nil && l.ID == leader.id && l.Token == leader.latest.Token
	}, "one of them leads")
	return leader
}

// nextOf waits for the next term of either. Whose connection was ended has no place in any line until it is back, so it may be the same one again.
func (e *election) nextOf(a, b *writer) (*writer, mandate) {
	e.Helper()
	select {
	case term := <-a.elected:
		return a, term
	case term := <-b.elected:
		return b, term
	case <-time.After(slack):
		e.Fatalf("nobody is elected within %v", slack)
	}
	panic("unreachable")
}

// watch looks all the time whether a term is valid. What it returns waits until it is not, and tells an instant that was not later than when it last was.
func (e *election) watch(term leaderelect.Term) (valid func() time.Time) {
	var last time.Time
	over := make(chan struct{})
	go func() {
		defer close(over)
		for e.Context().Err() == nil {
			now := time.Now()
			if !term.Valid() {
				return
			}
			last = now
			time.Sleep(50 * time.Microsecond) // between two looks
		}
	}()
	return func() time.Time {
		e.Helper()
		select {
		case <-over:
		case <-time.After(slack):
			e.Fatalf("a term that is over is still valid after %v", slack)
		}
		return last
	}
}

// follower remembers what Observe has told it.
type follower struct {
	e      *election
	mu     sync.Mutex
	seen   []leaderelect.Leader
	nobody int // how often that nobody leads
}

func (e *election) follower(m *member) *follower {
	f := &follower{e: e}
	ctx, cancel := context.WithCancel(context.Background())
	var observing sync.WaitGroup
	observing.Go(func() {
		for leader, err := range m.Observe(ctx) {
			f.tell(leader, err)
		}
	})
	e.Cleanup(func() {
		cancel()
		observing.Wait()
	})
	return f
}

func (f *follower) tell(leader leaderelect.Leader, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case err == nil:
		f.seen = append(f.seen, leader)
	case errors.Is(err, sqllock.ErrNoLeader):
		f.nobody++
	}
}

// sees returns when a leader is the last one that was told, with its value.
func (f *follower) sees(w *writer) {
	f.e.Helper()
	f.e.eventually(func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		if len(f.seen) == 0 {
			return false
		}
		last := f.seen[len(f.seen)-1]
		return last.ID == w.id && last.Token == w.latest.Token && last.Value["address"] == "of "+w.id
	}, w.id+" is observed")
}

// terms are the tokens that were told, and how often that nobody leads.
func (f *follower) terms() (tokens []int64, nobody int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, l := range f.seen {
		tokens = append(tokens, l.Token)
	}
	return tokens, f.nobody
}

// TestRestartedDatabaseHasOneLeader restarts the server, as administrators do and as a crash does, while somebody leads and writes.
func TestRestartedDatabaseHasOneLeader(t *testing.T) {
	t.Parallel()
	for _, b := range backends {
		if b.start == nil {
			continue // no server
		}
		t.Run(b.name, func(t *testing.T) {
			t.Parallel()
			dsn, server := b.start(t)
			e := newElectionAt(t, b, dsn)
			x, y, z := e.writer("x"), e.writer("y"), e.writer("z")
			for _, w := range []*writer{x, y, z} {
				w.run()
			}
			leads := func() *writer { return e.soleLeader(x, y, z) }
			leader, seer := leads(), e.follower(e.member("seer", nil))
			for name, end := range map[string]func(){"planned": server.Stop, "crash": server.Kill} {
				before := leader.latest
				seer.sees(leader)
				leader.writes()
				_, nobody := seer.terms()
				end()
				_, err := y.Leader(e.Context())
				require.Error(e, err, name)
				require.NotErrorIs(e, err, sqllock.ErrNoLeader, "%s: nobody can know", name)
				server.Start()

				if !e.session {
					leader.writes()
					require.Same(e, leader, leads(), name)
					require.Equal(e, before.Token, leader.latest.Token, "%s: the term goes on", name)
					_, now := seer.terms()
					assert.Equal(e, nobody, now, "%s: an observer was told that nobody leads, when nobody knew", name)
				} else {
					require.ErrorIs(e, leader.falls(), sqllock.ErrLost, name)
					assert.False(e, before.Valid(), name)
					former := leader
					leader = leads()
					assert.Greater(e, leader.latest.Token, before.Token, name)
					require.ErrorIs(e, write(e.Context(), e.app, former.opened, before.Term), sqllock.ErrLost, name)
					leader.writes()
				}
				seer.sees(leader)

				resigned := leader.latest.Token
				require.NoError(e, leader.Resign(e.Context()), name)
				require.ErrorIs(e, leader.falls(), leaderelect.ErrResigned, name)
				leader = leads()
				assert.Greater(e, leader.latest.Token, resigned, name)
				leader.writes()
			}
			seer.sees(leader)
			tokens, _ := seer.terms()
			assert.IsNonDecreasing(e, tokens, "terms are observed in the order of the elections")
			assert.NotZero(e, e.checkJournal())
		})
	}
}

// TestSeveredSessionsNeverInterleaveWrites has the server end the sessions of leaders, which frees their locks before they know. It tells for how long
// the terms overlap, and that nothing is written by both.
func TestSeveredSessionsNeverInterleaveWrites(t *testing.T) {
	t.Parallel()
	for _, b := range everyBackend {
		if !b.session || b.name == "postgres.Advisory" {
			continue // the next leader would be elected with a poll, long after
		}
		t.Run(b.name, func(t *testing.T) {
			t.Parallel()
			e := newElection(t, b)
			leader, other := e.writer("a"), e.writer("b")
			term := leader.run().wins(0)
			other.run()
			var overlaps []time.Duration
			for range faultRounds {
				other.waits()
				leader.writes()
				valid := e.watch(term.Term)
				require.NoError(e, e.sever(e.Context(), e.app, leader.member))
				require.ErrorIs(e, leader.falls(), sqllock.ErrLost)
				winner, next := e.nextOf(leader, other)
				require.Greater(e, next.Token, term.Token)
				overlaps = append(overlaps, max(0, valid().Sub(next.granted)))
				if winner == other {
					leader, other = other, leader
				}
				term = next
			}
			slices.Sort(overlaps)
			e.Logf("a former leader believed to lead beside the next one for %v in the median of %d rounds, and for %v at most",
				overlaps[len(overlaps)/2], len(overlaps), overlaps[len(overlaps)-1])
			assert.NotZero(e, e.checkJournal())
		})
	}
}

// TestLeaseOutlivesItsConnections has the server end the connections of everybody again and again. The term goes on, and when it has ended the next one
// begins after it.
func TestLeaseOutlivesItsConnections(t *testing.T) {
	t.Parallel()
	for _, b := range backends {
		if b.sever == nil || b.session {
			continue
		}
		t.Run(b.name, func(t *testing.T) {
			t.Parallel()
			e := newElection(t, b)
			leader, other := e.writer("a"), e.writer("b")
			term := leader.run().wins(0)
			other.run().waits()
			valid := e.watch(term.Term)
			for range faultRounds {
				leader.writes()
				require.NoError(e, e.sever(e.Context(), e.app, leader.member))
				require.NoError(e, leader.IsLeader(e.Context()))
			}
			leader.writes()
			require.NoError(e, term.Lock().Verify(e.Context()))
			require.Empty(e, other.elected)
			require.NoError(e, leader.Resign(e.Context()))
			winner, next := e.nextOf(leader, other)
			assert.True(e, valid().Before(next.granted), "terms overlap")
			assert.Greater(e, next.Token, term.Token)
			winner.writes()
			assert.NotZero(e, e.checkJournal())
		})
	}
}
