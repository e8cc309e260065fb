package postgres_test

import (
	"context"
	"errors"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sqllock/toolkit/internal/testdb"
	"github.com/sqllock/toolkit/postgres"
	"github.com/sqllock/toolkit/sqllock"
)

// duo is a primary, with the toolkit's schema in it, and its replica.
type duo struct {
	*testing.T
	primary, replica *testdb.PostgresServer
}

func newDuo(t *testing.T) *duo {
	t.Helper()
	primary := testdb.StartPostgres(t)
	migrate(t, primary.DSN())
	return &duo{t, primary, primary.Replica()}
}

// newSynchronousDuo is one whose primary confirms no commit that the replica has not flushed. The replica, once promoted, waits for nobody.
func newSynchronousDuo(t *testing.T) *duo {
	t.Helper()
	d := newDuo(t)
	admin := sceneAt(t, d.primary.DSN())
	admin.exec("ALTER SYSTEM SET synchronous_standby_names = '*'")
	admin.exec("SELECT pg_reload_conf()")
	admin.eventually(func() bool {
		return admin.int("SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'") == 1
	}, "the replica is synchronous")
	return d
}

// dsn finds whichever of the two takes writes, as applications that fail over have it.
func (d *duo) dsn() string {
	d.Helper()
	primary, err := url.Parse(d.primary.DSN())
	require.NoError(d, err)
	replica, err := url.Parse(d.replica.DSN())
	require.NoError(d, err)
	primary.Host += "," + replica.Host
	primary.RawQuery += "&target_session_attrs=read-write"
	return primary.String()
}

// caughtUp waits until the replica has everything.
func (d *duo) caughtUp() {
	d.Helper()
	primary, replica := sceneAt(d.T, d.primary.DSN()), sceneAt(d.T, d.replica.DSN())
	at := primary.int("SELECT pg_current_wal_insert_lsn() - '0/0'")
	primary.eventually(func() bool { return replica.int("SELECT pg_last_wal_replay_lsn() - '0/0'") >= at }, "the replica has caught up")
}

// again asks until the database answers: the first statement after an outage meets the connections from before.
func again(t *testing.T, ask func() error) error {
	t.Helper()
	for deadline := time.Now().Add(sceneSlack); ; time.Sleep(2 * time.Millisecond) {
		err := ask()
		if err == nil || errors.Is(err, sqllock.ErrNotAcquired) || errors.Is(err, sqllock.ErrLost) || time.Now().After(deadline) {
			return err
		}
	}
}

// TestAdvisoryHoldersAreToldOfAFailOver kills a primary and promotes its synchronous replica, which knows nothing of locks. Whoever held is told, and
// nobody holds who has not been granted the lock there.
func TestAdvisoryHoldersAreToldOfAFailOver(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	d := newSynchronousDuo(t)
	s := sceneAt(t, d.dsn())
	backend := postgres.Advisory(s.pool)
	holder, waiter, stranger := s.client(), s.client(), s.client()
	held := []*sqllock.Lock{s.acquire(holder, "x"), s.acquire(holder, "s", sqllock.Shared()), s.acquire(holder, "p", sqllock.Permits(2))}
	got := s.waits(waiter, "x")

	d.primary.Kill()
	for _, l := range held {
		s.ends(l)
		require.ErrorIs(t, l.Err(), sqllock.ErrLost)
		require.ErrorContains(t, l.Err(), "the session has ended")
	}
	for who, c := range map[string]*sqllock.Client{"who held": holder, "who waits": waiter, "a stranger": stranger} {
		_, err := c.TryAcquire(ctx, "x")
		unknown(t, err, who)
	}
	d.replica.Promote()
	s.pool.Reset()

	next := s.granted(got, 2*time.Second) // the longest pause between attempts to connect
	s.refused(holder, "x")
	for _, l := range held {
		require.Greater(t, next.Token(), l.Token())
		require.ErrorIs(t, l.Verify(ctx), sqllock.ErrLost)
		require.ErrorIs(t, pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error { return backend.Guard(ctx, tx, l) }), sqllock.ErrLost)
		require.ErrorIs(t, l.Release(ctx), sqllock.ErrLost)
	}
	require.NoError(t, next.Verify(ctx), "the releases above were of locks on another server")
	s.release(next)
	s.onlySessionsLeft() // nothing was taken again
}

// TestTableLeaseOutlivesAFailOver kills a primary and promotes its synchronous replica, which has every lease.
func TestTableLeaseOutlivesAFailOver(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	d := newSynchronousDuo(t)
	holder, other := join(t, d.dsn(), pgx.QueryExecModeCacheStatement), join(t, d.dsn(), pgx.QueryExecModeCacheStatement)
	// Nobody renews the lease of one who knows of the old primary only.
	stranded := join(t, d.primary.DSN(), pgx.QueryExecModeCacheStatement)
	ended, err := stranded.client.Acquire(ctx, "of the stranded", sqllock.TTL(5*time.Second))
	require.NoError(t, err)
	l, err := holder.client.Acquire(ctx, "n")
	require.NoError(t, err)
	before := l.Deadline()
	got := make(chan grant, 1)
	go func() {
		l, err := other.client.Acquire(ctx, "n", sqllock.Wait(time.Minute))
		got <- grant{l, err}
	}()
	s := sceneAt(t, d.primary.DSN())
	s.eventually(func() bool { return s.int("SELECT count(*) FROM sqllock_waiters") == 1 }, "somebody waits")

	d.primary.Kill()
	_, err = other.client.TryAcquire(ctx, "n")
	unknown(t, err, "TryAcquire during the outage")
	d.replica.Promote()
	holder.pool.Reset()

	try := func() error { _, err := other.client.TryAcquire(ctx, "n"); return err }
	require.ErrorIs(t, again(t, try), sqllock.ErrNotAcquired)
	require.NoError(t, again(t, func() error { return l.Verify(ctx) }))
	require.NoError(t, pgx.BeginFunc(ctx, holder.pool, func(tx pgx.Tx) error { return holder.table.Guard(ctx, tx, l) }))
	require.Eventually(t, func() bool { return l.Deadline().After(before.Add(time.Second)) }, sqllock.DefaultTTL, time.Millisecond, "it is renewed there")

	next, err := other.client.Acquire(ctx, "of the stranded", sqllock.Wait(time.Minute))
	require.NoError(t, err)
	require.ErrorIs(t, ended.Err(), sqllock.ErrLost, "whose holder must have been told before")
	require.Greater(t, next.Token(), ended.Token())
	require.NoError(t, next.Release(ctx))

	require.Empty(t, got, "who waits, waits for the release")
	require.NoError(t, l.Release(ctx))
	g := <-got
	require.NoError(t, g.err)
	require.Greater(t, g.lock.Token(), l.Token())
	require.NoError(t, g.lock.Release(ctx))
}

// TestGuardedWritesDoNotInterleaveOverAFailOver has processes count in a way that loses what two do at once, while the primary is killed and its
// synchronous replica promoted. What was acknowledged must be there, and nothing that was written beside it.
func TestGuardedWritesDoNotInterleaveOverAFailOver(t *testing.T) {
	t.Parallel()
	d := newSynchronousDuo(t)
	s := sceneAt(t, d.dsn())
	type guard interface {
		sqllock.Backend
		Guard(ctx context.Context, tx pgx.Tx, lock *sqllock.Lock) error
	}
	backends := map[string]func(*pgxpool.Pool) guard{
		"advisory": func(pool *pgxpool.Pool) guard { return postgres.Advisory(pool) },
		"table":    func(pool *pgxpool.Pool) guard { return postgres.Table(pool) },
	}
	s.exec("CREATE TABLE counter (of text PRIMARY KEY, n bigint NOT NULL, token bigint NOT NULL)")
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	type tally struct{ acknowledged, unknown, late atomic.Int64 }
	tallies := make(map[string]*tally)
	var promoted atomic.Bool
	var all sync.WaitGroup
	for name, open := range backends {
		s.exec("INSERT INTO counter VALUES ($1, 0, 0)", name)
		count := new(tally)
		tallies[name] = count
		for range 3 {
			pool := poolAt(t, d.dsn())
			backend := open(pool)
			locks := sqllock.New(backend)
			t.Cleanup(func() { assert.NoError(t, locks.Close(context.Background())) })
			all.Go(func() {
				for ctx.Err() == nil {
					l, err := locks.Acquire(ctx, "counter")
					if err != nil {
						continue
					}
					late := promoted.Load()
					tx, err := pool.Begin(ctx)
					if err != nil {
						_ = l.Release(ctx)
						continue
					}
					var n, token int64
					err = backend.Guard(ctx, tx, l)
					if err == nil {
						err = tx.QueryRow(ctx, "SELECT n, token FROM counter WHERE of = $1", name).Scan(&n, &token)
					}
					if err == nil {
						assert.Less(t, token, l.Token(), "%s: tokens grow", name)
						_, err = tx.Exec(ctx, "UPDATE counter SET n = $1, token = $2 WHERE of = $3", n+1, l.Token(), name)
					}
					if err != nil {
						_ = tx.Rollback(ctx)
					} else if err = tx.Commit(ctx); err != nil {
						count.unknown.Add(1)
					} else if count.acknowledged.Add(1); late {
						count.late.Add(1)
					}
					_ = l.Release(ctx)
				}
			})
		}
	}
	for _, count := range tallies {
		s.eventually(func() bool { return count.acknowledged.Load() > 20 }, "they count")
	}
	d.primary.Kill()
	d.replica.Promote()
	promoted.Store(true)
	for _, count := range tallies {
		// A lease whose holder's release was lost is free when its session ends, at the latest.
		require.Eventually(t, func() bool { return count.late.Load() > 20 }, sqllock.DefaultTTL+sceneSlack, time.Millisecond, "they count on the new primary")
	}
	stop()
	all.Wait()
	s.pool.Reset()
	for name, count := range tallies {
		n := s.int("SELECT n FROM counter WHERE of = $1", name)
		t.Logf("%s: %d acknowledged, %d unknown, %d there", name, count.acknowledged.Load(), count.unknown.Load(), n)
		assert.GreaterOrEqual(t, n, count.acknowledged.Load(), name)
		assert.LessOrEqual(t, n, count.acknowledged.Load()+count.unknown.Load(), name)
	}
}

// TestOldPrimaryOfASynchronousReplicaConfirmsNothing promotes a replica while the primary goes on, cut off. Whoever talks to the old one may believe to
// hold what others have been granted on the new one, but no commit is confirmed there, so no lease gets longer and no guarded write is done.
func TestOldPrimaryOfASynchronousReplicaConfirmsNothing(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	d := newSynchronousDuo(t)
	before, after := sceneAt(t, d.primary.DSN()), sceneAt(t, d.replica.DSN())
	const careless = "&synchronous_commit=local" // which is not what locks are committed with
	cutOff := join(t, d.primary.DSN()+careless, pgx.QueryExecModeCacheStatement)
	before.exec("CREATE TABLE written (at text NOT NULL)")
	advisory := postgres.Advisory(before.pool)
	session := before.client()
	believed := before.acquire(session, "session lock")
	lease, err := cutOff.client.Acquire(ctx, "lease", sqllock.TTL(4*time.Second))
	require.NoError(t, err)

	d.replica.Promote()
	t.Cleanup(func() { // so that those who are connected to the old primary can close
		_, err := before.pool.Exec(context.Background(), "ALTER SYSTEM RESET synchronous_standby_names")
		assert.NoError(t, err)
		_, err = before.pool.Exec(context.Background(), "SELECT pg_reload_conf()")
		assert.NoError(t, err)
	})

	granted := after.acquire(after.client(), "session lock")
	require.NoError(t, believed.Verify(ctx), "two holders, each on a server of its own")
	before.release(before.acquire(session, "another session lock"))
	require.Greater(t, granted.Token(), believed.Token())
	require.ErrorIs(t, pgx.BeginFunc(ctx, after.pool, func(tx pgx.Tx) error { return advisory.Guard(ctx, tx, believed) }), sqllock.ErrLost)
	tx, err := before.pool.Begin(ctx)
	require.NoError(t, err)
	require.NoError(t, advisory.Guard(ctx, tx, believed))
	_, err = tx.Exec(ctx, "INSERT INTO written VALUES ('the old primary')")
	require.NoError(t, err)
	impatient, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	require.Error(t, tx.Commit(impatient))
	require.Zero(t, after.int("SELECT count(*) FROM written"))

	// A new session waits for the replica before its first token, and an attempt at a lease before it is granted.
	// Neither is granted anything before this gives up.
	trying, giveUp := context.WithTimeout(ctx, time.Second)
	defer giveUp()
	_, err = sceneAt(t, d.primary.DSN()+careless).client(postgres.SessionTimeout(3*time.Second)).TryAcquire(trying, "new")
	require.ErrorIs(t, err, context.DeadlineExceeded)
	trying, giveUp = context.WithTimeout(ctx, time.Second)
	defer giveUp()
	_, err = cutOff.client.TryAcquire(trying, "new")
	require.ErrorIs(t, err, context.DeadlineExceeded)

	next, err := join(t, d.replica.DSN(), pgx.QueryExecModeCacheStatement).client.Acquire(ctx, "lease", sqllock.Wait(time.Minute))
	require.NoError(t, err)
	require.ErrorIs(t, lease.Err(), sqllock.ErrLost, "its holder must have been told before")
	require.Greater(t, next.Token(), lease.Token())
	require.NoError(t, next.Release(ctx))
	after.release(granted)
}

// TestFailOverToAReplicaThatWasBehindLosesLeases has the replica receive nothing while locks are granted, and then promotes it. That is what is lost;
// and a Guard still finds out.
func TestFailOverToAReplicaThatWasBehindLosesLeases(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	d := newDuo(t)
	// The first never finds the new primary. Of the other two the replica knows the session of one.
	table := postgres.Table(poolAt(t, d.primary.DSN()))
	stranded := sqllock.New(table, sqllock.TTL(time.Minute))
	t.Cleanup(func() { assert.Error(t, stranded.Close(context.Background())) })
	follows, fresh := join(t, d.dsn(), pgx.QueryExecModeCacheStatement).client, join(t, d.dsn(), pgx.QueryExecModeCacheStatement).client
	for _, c := range []*sqllock.Client{stranded, follows} {
		l, err := c.Acquire(ctx, "n")
		require.NoError(t, err)
		require.NoError(t, l.Release(ctx))
	}
	old := sceneAt(t, d.primary.DSN())
	session := old.client()
	old.release(old.acquire(session, "n"))
	d.caughtUp()

	d.replica.Kill()
	lost := make(map[string]*sqllock.Lock)
	for name, c := range map[string]*sqllock.Client{"stranded": stranded, "follows": follows, "fresh": fresh} {
		l, err := c.Acquire(ctx, name)
		require.NoError(t, err)
		lost[name] = l
	}
	fromBefore := old.acquire(session, "from before")
	first, second := old.acquire(old.client(), "first"), old.acquire(old.client(), "second")
	d.primary.Kill()
	d.replica.Start()
	d.replica.Promote()

	s := sceneAt(t, d.replica.DSN())
	other := join(t, d.replica.DSN(), pgx.QueryExecModeCacheStatement)
	next, err := other.client.TryAcquire(ctx, "stranded")
	require.NoError(t, err)
	require.NoError(t, lost["stranded"].Err(), "two holders")
	require.Equal(t, lost["stranded"].Token(), next.Token(), "of one token")
	require.ErrorIs(t, pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error { return table.Guard(ctx, tx, lost["stranded"]) }), sqllock.ErrLost)
	require.NoError(t, pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error { return other.table.Guard(ctx, tx, next) }))
	require.NoError(t, next.Release(ctx))
	for _, name := range []string{"follows", "fresh"} {
		s.ends(lost[name])
		require.ErrorIs(t, lost[name].Err(), sqllock.ErrLost, "whoever finds the new primary learns it there")
	}

	token := s.acquire(s.client(), "from before").Token()
	t.Logf("tokens: a session of before %d; sessions of after %d, %d; on the new primary %d", fromBefore.Token(), first.Token(), second.Token(), token)
	require.Greater(t, token, fromBefore.Token())
	require.Less(t, token, second.Token(), "the replica has not heard of the sessions that came after")
}

// TestFailOverFromASilentPrimary freezes a primary, so that the first host of everybody's DSN takes connections and says nothing. The lease must be renewed
// on the new one in time, and session locks be granted there, although the DSN has no connect_timeout.
func TestFailOverFromASilentPrimary(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	d := newSynchronousDuo(t)
	s := sceneAt(t, d.dsn())
	p := join(t, d.dsn(), pgx.QueryExecModeCacheStatement)
	lease, err := p.client.Acquire(ctx, "n")
	require.NoError(t, err)
	c := s.client(postgres.SessionTimeout(9 * time.Second))
	lock := s.acquire(c, "n")

	d.primary.Pause()
	d.replica.Promote()
	s.ends(lock)
	promoted := sceneAt(t, d.replica.DSN())
	const renewed = "SELECT count(*) FROM sqllock_sessions WHERE expires_at > $1"
	longest := lease.Deadline().Add(sqllock.DefaultTTL / 5) // beyond what the margin adds
	s.release(s.acquire(c, "n"))
	require.Eventually(t, func() bool { return lease.Err() != nil || promoted.int(renewed, longest) == 1 }, sqllock.DefaultTTL+sceneSlack, time.Millisecond,
		"the lease is renewed")
	require.NoError(t, lease.Err())
	d.primary.Kill() // what waits for its answers need not any more
	require.NoError(t, again(t, func() error { return lease.Release(ctx) }))
}
