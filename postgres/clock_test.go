package postgres_test

import (
	"context"
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

// clocked is a server whose clock is set, with the toolkit's tables.
type clocked struct {
	*testing.T
	server *testdb.PostgresServer
	pool   *pgxpool.Pool
}

func newClocked(t *testing.T) clocked {
	t.Helper()
	server := testdb.StartPostgresWithClock(t)
	migrate(t, server.DSN())
	c := clocked{t, server, poolAt(t, server.DSN())}
	c.exec("CREATE TABLE writes (id serial PRIMARY KEY, token bigint NOT NULL)")
	return c
}

// lease makes another process, whose waiters poll so rarely that the database has to tell them.
func (c clocked) lease(ttl time.Duration) party {
	c.Helper()
	p := party{pool: c.pool, table: postgres.Table(c.pool, postgres.Poll(time.Minute))}
	p.client = sqllock.New(p.table, sqllock.TTL(ttl))
	c.Cleanup(func() {
		assert.NoError(c, p.client.Close(context.Background()))
		assert.NoError(c, p.table.Close(context.Background()))
	})
	return p
}

func (c clocked) exec(query string, args ...any) {
	c.Helper()
	_, err := c.pool.Exec(c.Context(), query, args...)
	require.NoError(c, err, query)
}

func (c clocked) int(query string, args ...any) (n int) {
	c.Helper()
	require.NoError(c, c.pool.QueryRow(c.Context(), query, args...).Scan(&n), query)
	return n
}

func (c clocked) acquire(p party, name string, opts ...sqllock.Option) *sqllock.Lock {
	c.Helper()
	l, err := p.client.Acquire(c.Context(), name, append([]sqllock.Option{sqllock.Wait(sceneSlack)}, opts...)...)
	require.NoError(c, err)
	return l
}

// begins acquires in a goroutine, and returns when it waits.
func (c clocked) begins(p party, name string) <-chan grant {
	c.Helper()
	got := make(chan grant, 1)
	go func() {
		l, err := p.client.Acquire(c.Context(), name)
		got <- grant{l, err}
	}()
	require.Eventually(c, func() bool { return c.int("SELECT count(*) FROM sqllock_waiters") == 1 }, sceneSlack, time.Millisecond)
	return got
}

func (c clocked) granted(got <-chan grant) *sqllock.Lock {
	c.Helper()
	select {
	case g := <-got:
		require.NoError(c, g.err)
		return g.lock
	case <-time.After(sceneSlack):
		c.Fatal("not granted")
		return nil
	}
}

// write is a guarded transaction, which is open while meanwhile runs.
func (c clocked) write(p party, l *sqllock.Lock, meanwhile func()) error {
	c.Helper()
	return pgx.BeginFunc(c.Context(), c.pool, func(tx pgx.Tx) error {
		if err := p.table.Guard(c.Context(), tx, l); err != nil {
			return err
		}
		meanwhile()
		_, err := tx.Exec(c.Context(), "INSERT INTO writes (token) VALUES ($1)", l.Token())
		return err
	})
}

func (c clocked) lost(l *sqllock.Lock, reason error) {
	c.Helper()
	select {
	case <-l.Done():
		assert.ErrorIs(c, l.Err(), reason)
	case <-time.After(sceneSlack):
		c.Fatalf("the holder of %q is not told", l.Name())
	}
}

func nothing() {}

// A lease that has run out by the database's clock may be taken, although its holder cannot know: what the two write under Guard does not interleave.
func TestTableGuardHoldsWhenTheDatabasesClockJumpsForward(t *testing.T) {
	t.Parallel()
	c := newClocked(t)
	a, b := c.lease(time.Hour), c.lease(time.Hour)
	held := c.acquire(a, "n")
	require.NoError(t, c.write(a, held, nothing))

	var got <-chan grant
	require.NoError(t, c.write(a, held, func() {
		c.server.JumpClock(2 * time.Hour)
		_, err := b.client.TryAcquire(t.Context(), "n")
		require.ErrorIs(t, err, sqllock.ErrNotAcquired)
		got = c.begins(b, "n")
	}))
	taken := c.granted(got)
	assert.Greater(t, taken.Token(), held.Token())
	require.NoError(t, c.write(b, taken, nothing))
	require.ErrorIs(t, c.write(a, held, nothing), sqllock.ErrLost)
	require.ErrorIs(t, held.Verify(t.Context()), sqllock.ErrLost)
	c.lost(held, sqllock.ErrEvicted)
	require.NoError(t, c.write(b, taken, nothing))

	assert.Zero(t, c.int("SELECT count(*) FROM writes a JOIN writes b ON b.id > a.id AND b.token < a.token"), "interleaved")
	assert.Equal(t, 4, c.int("SELECT count(*) FROM writes"))
	require.NoError(t, taken.Release(t.Context()))
	require.NoError(t, c.acquire(a, "n").Release(t.Context()))
}

// It is told by its next renewal, and not by its own clock at the deadline.
func TestTableHolderIsToldWhenTheDatabasesClockJumpsForward(t *testing.T) {
	t.Parallel()
	c := newClocked(t)
	a := c.lease(6 * time.Second)
	held := c.acquire(a, "n")
	c.server.JumpClock(time.Hour)
	c.lost(held, sqllock.ErrEvicted)
	next := c.acquire(a, "n")
	assert.Greater(t, next.Token(), held.Token())
	require.NoError(t, next.Verify(t.Context()))
}

func TestTableWaiterGetsWhatRunsOutWhenTheDatabasesClockJumpsForward(t *testing.T) {
	t.Parallel()
	c := newClocked(t)
	a, b := c.lease(time.Hour), c.lease(6*time.Second)
	held := c.acquire(a, "n")
	got := c.begins(b, "n")
	c.server.JumpClock(2 * time.Hour) // the waiter's own session too has run out
	taken := c.granted(got)
	assert.Greater(t, taken.Token(), held.Token())
	require.NoError(t, taken.Verify(t.Context()))
}

// Those who live renew, which makes their leases as long as before: nothing lasts for as long as the clock was set back.
func TestTableLeasesGoOnWhenTheDatabasesClockJumpsBack(t *testing.T) {
	t.Parallel()
	const ttl = 6 * time.Second
	c := newClocked(t)
	a, b := c.lease(ttl), c.lease(ttl)
	held := c.acquire(a, "n")
	got := c.begins(b, "n")
	c.server.JumpClock(-time.Hour)
	require.Eventually(t, func() bool {
		return c.int("SELECT count(*) FROM sqllock_sessions WHERE expires_at > clock_timestamp() + $1::interval", ttl) == 0
	}, sceneSlack, 10*time.Millisecond, "every session has renewed")
	require.NoError(t, held.Err())
	require.NoError(t, held.Verify(t.Context()))
	require.NoError(t, c.write(a, held, nothing))
	_, err := c.lease(ttl).client.TryAcquire(t.Context(), "n")
	require.ErrorIs(t, err, sqllock.ErrNotAcquired)
	require.NoError(t, held.Release(t.Context()))
	assert.Greater(t, c.granted(got).Token(), held.Token())
}

// What nobody renews ends late by as much as the clock was set back. It says so, and can be forced; the place of a dead waiter goes with its session.
func TestTableDeadStayWhenTheDatabasesClockJumpsBack(t *testing.T) {
	t.Parallel()
	c := newClocked(t)
	a := c.lease(15 * time.Second)
	dead(t, a, "n")
	c.exec("UPDATE sqllock_sessions SET expires_at = clock_timestamp() + interval '15 seconds' WHERE owner = 'dead'")
	c.server.JumpClock(-time.Hour)

	_, err := a.client.TryAcquire(t.Context(), "n")
	var held *sqllock.HeldError
	require.ErrorAs(t, err, &held)
	assert.Equal(t, "dead", held.Owner)
	assert.WithinDuration(t, time.Now().Add(15*time.Second), held.Expires, time.Minute, "an hour from now, by the database's clock")
	require.NoError(t, a.client.ForceRelease(t.Context(), "n"))
	require.NoError(t, c.acquire(a, "n").Release(t.Context()))

	c.exec("INSERT INTO sqllock_waiters (resource, session, mode, permits, since) SELECT id, -id, 'x', 0, now() FROM sqllock_resources WHERE name = 'n'")
	_, err = a.client.TryAcquire(t.Context(), "n")
	require.ErrorAs(t, err, &held)
	c.exec("DELETE FROM sqllock_sessions WHERE expires_at > clock_timestamp() + interval '1 minute'")
	require.NoError(t, c.acquire(a, "n").Release(t.Context()))
}

// AtLeast is counted by the clock that was set.
func TestTableAtLeastIsByTheDatabasesClock(t *testing.T) {
	t.Parallel()
	c := newClocked(t)
	a := c.lease(time.Minute)
	require.NoError(t, c.acquire(a, "n", sqllock.AtLeast(time.Hour)).Release(t.Context()))
	for _, ahead := range []time.Duration{0, -time.Hour} {
		c.server.JumpClock(ahead)
		_, err := c.lease(time.Minute).client.TryAcquire(t.Context(), "n")
		require.ErrorIs(t, err, sqllock.ErrNotAcquired, ahead)
	}
	c.server.JumpClock(2 * time.Hour)
	l, err := c.lease(time.Minute).client.TryAcquire(t.Context(), "n")
	require.NoError(t, err)
	require.NoError(t, l.Release(t.Context()))
}

func TestAdvisoryDoesNotSeeTheDatabasesClockJump(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	c := newClocked(t)
	s := sceneAt(t, c.server.DSN())
	b := postgres.Advisory(c.pool, postgres.SessionTimeout(3*time.Second))
	a := sqllock.New(b)
	t.Cleanup(func() { assert.NoError(t, a.Close(context.Background())) })
	other := s.client(postgres.SessionTimeout(3 * time.Second))
	held := s.acquire(a, "n")
	got := s.waits(other, "n")
	for _, ahead := range []time.Duration{2 * time.Hour, -2 * time.Hour} {
		c.server.JumpClock(ahead)
		select {
		case <-held.Done():
			t.Fatalf("lost %v: %v", ahead, held.Err())
		case g := <-got:
			t.Fatalf("granted %v: %v", ahead, g.err)
		case <-time.After(3500 * time.Millisecond): // than the session's timeout, so that it has been kept up
		}
		require.NoError(t, held.Err())
		require.NoError(t, held.Verify(ctx))
		require.NoError(t, pgx.BeginFunc(ctx, c.pool, func(tx pgx.Tx) error { return b.Guard(ctx, tx, held) }))
	}
	s.release(held)
	next := s.granted(got, 0)
	assert.Greater(t, next.Token(), held.Token())
	s.release(next)
}
