package mysql_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sqllock/toolkit/internal/testdb"
	"github.com/sqllock/toolkit/mysql"
	"github.com/sqllock/toolkit/sqllock"
)

// TestNamedTokensGrow over Clients, ways of being granted, ends of sessions, and crashes of the server.
func TestNamedTokensGrow(t *testing.T) {
	t.Parallel()
	server := testdb.StartMySQL(t, "innodb-flush-log-at-trx-commit=1")
	migrate(t, server.Config())
	s := namedSceneAt(t, server.Config())
	a, b := s.client(mysql.WithTokens()), s.client(mysql.WithTokens())
	require.True(t, mysql.Named(s.cfg, mysql.WithTokens()).Capabilities().Tokens)
	var last int64
	grows := func(l *sqllock.Lock) *sqllock.Lock {
		t.Helper()
		require.Greater(t, l.Token(), last)
		last = l.Token()
		return l
	}
	for range 3 {
		for range 5 {
			held := grows(s.acquire(a, "n"))
			got := s.waits(b, "n")
			s.release(held)
			s.release(grows(s.granted(got, 0)))
		}
		killed := grows(s.acquire(a, "n"))
		s.terminate(s.holder("n"))
		s.ends(killed)
		s.release(grows(s.acquire(b, "n")))
		forced := grows(s.acquire(a, "n"))
		require.NoError(t, b.ForceRelease(t.Context(), "n"))
		s.ends(forced)
		held := grows(s.acquire(b, "n"))
		server.Kill()
		s.ends(held)
		server.Start()
		s.eventually(func() bool { return a.Ping(t.Context()) == nil && b.Ping(t.Context()) == nil }, "the server is back")
	}
	s.release(grows(s.acquire(s.client(mysql.WithTokens()), "n")))

	set, err := a.AcquireAll(t.Context(), []string{"n", "m", "o"})
	require.NoError(t, err)
	for _, l := range set.Locks() {
		assert.Positive(t, l.Token())
	}
	require.NoError(t, set.Release(t.Context()))
}

// TestNamedTokensOfANewNameAreCountedOnce although sessions end while the name is written down.
func TestNamedTokensOfANewNameAreCountedOnce(t *testing.T) {
	t.Parallel()
	s := newNamedScene(t)
	a, b := s.client(mysql.WithTokens()), s.client(mysql.WithTokens())
	for i := range 30 {
		name := fmt.Sprint("n", i)
		got := s.begins(a, name)
		for _, id := range s.sessions() {
			s.kill("CONNECTION", id)
		}
		g := <-got
		var next *sqllock.Lock
		s.eventually(func() (ok bool) {
			var err error
			if g.err == nil && g.lock.Err() == nil {
				_ = g.lock.Release(t.Context()) // it may be lost
			}
			next, err = b.Acquire(t.Context(), name, sqllock.Wait(namedSlack))
			return err == nil
		}, "%s is granted", name)
		if g.err == nil {
			assert.Greater(t, next.Token(), g.lock.Token())
		}
		require.NoError(t, next.Verify(t.Context()))
		s.release(next)
	}
}

func TestNamedTokensNeedTheSchema(t *testing.T) {
	t.Parallel()
	s := namedSceneAt(t, testdb.MySQL(t))
	plain := s.client()
	l := s.acquire(plain, "n")
	assert.Zero(t, l.Token())
	s.release(l)
	c := s.client(mysql.WithTokens())
	_, tryErr := c.TryAcquire(t.Context(), "n")
	_, err := c.Acquire(t.Context(), "n")
	_, setErr := c.AcquireAll(t.Context(), []string{"n", "m"})
	for _, err := range []error{c.Ping(t.Context()), tryErr, err, setErr} {
		require.ErrorIs(t, err, sqllock.ErrSchema)
		require.NotErrorIs(t, err, sqllock.ErrNotAcquired)
		require.ErrorContains(t, err, "sqllock migrate up")
	}
	held := s.acquire(plain, "n")
	got := s.waits(c, "n")
	s.release(held)
	g := <-got
	require.ErrorIs(t, g.err, sqllock.ErrSchema, "waiting is pointless")
	s.free("n", "m")
	migrate(t, s.cfg)
	require.NoError(t, c.Ping(t.Context()), "what is missing may come")
	assert.Positive(t, s.acquire(c, "n").Token())
}
