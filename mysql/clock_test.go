package mysql_test

import (
	"context"
	"database/sql"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sqllock/toolkit/internal/testdb"
	"github.com/sqllock/toolkit/mysql"
	"github.com/sqllock/toolkit/sqllock"
)

// clocked is a server whose clock is set, with the toolkit's tables.
type clocked struct {
	*testing.T
	server *testdb.MySQLServer
	db     *sql.DB
}

func newClocked(t *testing.T) clocked {
	t.Helper()
	server := testdb.StartMySQLWithClock(t)
	migrate(t, server.Config())
	c := clocked{t, server, connect(t, server.Config())}
	c.exec("CREATE TABLE writes (id INT AUTO_INCREMENT PRIMARY KEY, token BIGINT NOT NULL)")
	return c
}

// lease makes another process, whose waiters poll so rarely that the database has to tell them.
func (c clocked) lease(ttl time.Duration) leaseholder {
	c.Helper()
	p := leaseholder{table: mysql.Table(c.server.Config(), mysql.Poll(time.Minute)), db: c.db}
	p.client = sqllock.New(p.table, sqllock.TTL(ttl))
	c.Cleanup(func() {
		assert.NoError(c, p.client.Close(context.Background()))
		assert.NoError(c, p.table.Close(context.Background()))
	})
	return p
}

func (c clocked) exec(query string, args ...any) {
	c.Helper()
	_, err := c.db.ExecContext(c.Context(), query, args...)
	require.NoError(c, err, query)
}

func (c clocked) acquire(p leaseholder, name string, opts ...sqllock.Option) *sqllock.Lock {
	c.Helper()
	l, err := p.client.Acquire(c.Context(), name, append([]sqllock.Option{sqllock.Wait(20 * time.Second)}, opts...)...)
	require.NoError(c, err)
	return l
}

// write is a guarded transaction, which is open while meanwhile runs.
func (c clocked) write(p leaseholder, l *sqllock.Lock, meanwhile func()) error {
	c.Helper()
	tx := p.begin(c, sql.LevelDefault)
	defer func() { _ = tx.Rollback() }()
	if err := p.table.Guard(c.Context(), tx, l); err != nil {
		return err
	}
	meanwhile()
	_, err := tx.ExecContext(c.Context(), "INSERT INTO writes (token) VALUES (?)", l.Token())
	require.NoError(c, err)
	return tx.Commit()
}

func (c clocked) lost(l *sqllock.Lock, reason error) {
	c.Helper()
	select {
	case <-l.Done():
		assert.ErrorIs(c, l.Err(), reason)
	case <-time.After(20 * time.Second):
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

	next := make(chan *sqllock.Lock, 1)
	require.NoError(t, c.write(a, held, func() {
		c.server.JumpClock(2 * time.Hour)
		_, err := b.client.TryAcquire(t.Context(), "n")
		require.ErrorIs(t, err, sqllock.ErrNotAcquired)
		go func() {
			l, err := b.client.Acquire(t.Context(), "n", sqllock.Wait(20*time.Second))
			assert.NoError(t, err)
			next <- l
		}()
	}))
	taken := <-next
	require.NotNil(t, taken)
	assert.Greater(t, taken.Token(), held.Token())
	require.NoError(t, c.write(b, taken, nothing))
	require.ErrorIs(t, c.write(a, held, nothing), sqllock.ErrLost)
	require.ErrorIs(t, held.Verify(t.Context()), sqllock.ErrLost)
	c.lost(held, sqllock.ErrEvicted)
	require.NoError(t, c.write(b, taken, nothing))

	var interleaved int
	require.NoError(t, c.db.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM writes a JOIN writes b ON b.id > a.id AND b.token < a.token").Scan(&interleaved))
	assert.Zero(t, interleaved)
	assert.Equal(t, 4, b.int(t, "SELECT COUNT(*) FROM writes"))
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
	got := make(chan *sqllock.Lock, 1)
	go func() {
		l, err := b.client.Acquire(t.Context(), "n")
		assert.NoError(t, err)
		got <- l
	}()
	c.awaitsWaiter(a)
	c.server.JumpClock(2 * time.Hour) // the waiter's own session too has run out
	taken := <-got
	require.NotNil(t, taken)
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
	got := make(chan *sqllock.Lock, 1)
	go func() {
		l, err := b.client.Acquire(t.Context(), "n", sqllock.Wait(time.Minute))
		assert.NoError(t, err)
		got <- l
	}()
	c.awaitsWaiter(a)
	c.server.JumpClock(-time.Hour)
	require.Eventually(t, func() bool {
		return a.int(t, "SELECT COUNT(*) FROM sqllock_sessions WHERE expires_at > UTC_TIMESTAMP(6) + INTERVAL ? MICROSECOND", ttl.Microseconds()) == 0
	}, 20*time.Second, 10*time.Millisecond, "every session has renewed")
	require.NoError(t, held.Err())
	require.NoError(t, held.Verify(t.Context()))
	require.NoError(t, c.write(a, held, nothing))
	_, err := c.lease(ttl).client.TryAcquire(t.Context(), "n")
	require.ErrorIs(t, err, sqllock.ErrNotAcquired)
	require.NoError(t, held.Release(t.Context()))
	taken := <-got
	require.NotNil(t, taken)
	assert.Greater(t, taken.Token(), held.Token())
}

// What nobody renews ends late by as much as the clock was set back. It says so, and can be forced; the place of a dead waiter goes with its session.
func TestTableDeadStayWhenTheDatabasesClockJumpsBack(t *testing.T) {
	t.Parallel()
	c := newClocked(t)
	a := c.lease(15 * time.Second)
	a.dead(t, "n", "x")
	c.exec("UPDATE sqllock_sessions SET expires_at = UTC_TIMESTAMP(6) + INTERVAL 15 SECOND WHERE owner = 'dead'")
	c.server.JumpClock(-time.Hour)

	_, err := a.client.TryAcquire(t.Context(), "n")
	var held *sqllock.HeldError
	require.ErrorAs(t, err, &held)
	assert.Equal(t, "dead", held.Owner)
	assert.WithinDuration(t, time.Now().Add(15*time.Second), held.Expires, time.Minute, "an hour from now, by the database's clock")
	require.NoError(t, a.client.ForceRelease(t.Context(), "n"))
	require.NoError(t, c.acquire(a, "n").Release(t.Context()))

	c.exec("INSERT INTO sqllock_waiters (resource, session, mode, permits, since) SELECT id, -id, 'x', 0, UTC_TIMESTAMP(6) FROM sqllock_resources WHERE name = 'n'")
	_, err = a.client.TryAcquire(t.Context(), "n")
	require.ErrorAs(t, err, &held)
	c.exec("DELETE FROM sqllock_sessions WHERE expires_at > UTC_TIMESTAMP(6) + INTERVAL 1 MINUTE")
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

func TestNamedDoesNotSeeTheDatabasesClockJump(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	server := testdb.StartMySQLWithClock(t)
	migrate(t, server.Config())
	s := namedSceneAt(t, server.Config())
	s.exec("CREATE TABLE test.writes (token BIGINT NOT NULL)")
	b := s.backend(mysql.WithTokens(), mysql.SessionTimeout(3*time.Second))
	a, other := s.clientOf(b), s.client(mysql.WithTokens(), mysql.SessionTimeout(3*time.Second))
	held := s.acquire(a, "n")
	got := s.waits(other, "n")
	session := s.holder("n")
	for _, ahead := range []time.Duration{2 * time.Hour, -2 * time.Hour} {
		server.JumpClock(ahead)
		select {
		case <-held.Done():
			t.Fatalf("lost %v: %v", ahead, held.Err())
		case g := <-got:
			t.Fatalf("granted %v: %v", ahead, g.err)
		case <-time.After(3500 * time.Millisecond): // than the session's timeout, so that it has been kept up
		}
		require.NoError(t, held.Err())
		require.NoError(t, held.Verify(ctx))
		assert.Equal(t, session, s.holder("n"))
		tx, err := s.db.BeginTx(ctx, nil)
		require.NoError(t, err)
		require.NoError(t, b.Guard(ctx, tx, held))
		require.NoError(t, tx.Commit())
	}
	s.release(held)
	next := s.granted(got, 0)
	assert.Greater(t, next.Token(), held.Token())
	s.release(next)
}

// awaitsWaiter returns when somebody waits.
func (c clocked) awaitsWaiter(p leaseholder) {
	c.Helper()
	require.Eventually(c, func() bool { return p.int(c, "SELECT COUNT(*) FROM sqllock_waiters") == 1 }, 20*time.Second, time.Millisecond)
}
