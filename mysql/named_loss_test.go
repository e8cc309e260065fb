package mysql_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sqllock/toolkit/internal/testdb"
	"github.com/sqllock/toolkit/mysql"
	"github.com/sqllock/toolkit/sqllock"
)

// carriedAndInherited is a Client that holds "carried" on the connection that carries all, and "inherited" on one that has waited for it.
func (s *namedScene) carriedAndInherited(c *sqllock.Client) (carried, inherited *sqllock.Lock) {
	s.Helper()
	carried = s.acquire(c, "carried")
	first := s.acquire(s.client(), "inherited")
	got := s.waits(c, "inherited")
	s.release(first)
	inherited = s.granted(got, 0)
	require.NotEqual(s, s.holder("carried"), s.holder("inherited"))
	return carried, inherited
}

// TestNamedLockEndsWithItsOwnSessionOnly whichever of a Client's that is. Its holder does not ask for anything meanwhile, and its next ping is
// minutes away: it is told by the end of the connection.
func TestNamedLockEndsWithItsOwnSessionOnly(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"carried", "inherited"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx := t.Context()
			s := newNamedScene(t)
			backend := s.backend(mysql.SessionTimeout(time.Hour), mysql.WithTokens())
			c, other := s.clientOf(backend), s.client(mysql.SessionTimeout(time.Hour), mysql.WithTokens())
			lost, kept := s.carriedAndInherited(c)
			if name == "inherited" {
				lost, kept = kept, lost
			}
			held, cancel := lost.Context(ctx)
			defer cancel()
			got := s.waits(other, name)
			s.terminate(s.holder(name))
			s.ends(lost)
			next := s.granted(got, 0)
			for range 2 {
				tx, err := s.db.BeginTx(ctx, nil)
				require.NoError(t, err)
				for what, err := range map[string]error{
					"Err": lost.Err(), "Verify": lost.Verify(ctx), "Guard": backend.Guard(ctx, tx, lost), "Release": lost.Release(ctx), "a second Release": lost.Release(ctx),
				} {
					assert.ErrorIs(t, err, sqllock.ErrLost, what)
					assert.ErrorContains(t, err, "the session has ended", what)
				}
				require.NoError(t, tx.Rollback())
				s.release(s.acquire(c, "another"))
			}
			assert.ErrorIs(t, context.Cause(held), sqllock.ErrLost)
			require.NoError(t, kept.Err())
			require.NoError(t, kept.Verify(ctx))
			require.NoError(t, next.Verify(ctx))
			assert.Greater(t, next.Token(), lost.Token())
			s.refused(c, name)
			s.release(kept, next)
			s.free("carried", "inherited", "another")
		})
	}
}

// TestNamedWaiterOutlivesSessions of its Client: those that wait, and the one that carries. It polls once a minute, so that it is served in
// time only if it has put itself in the server's line again.
func TestNamedWaiterOutlivesSessions(t *testing.T) {
	t.Parallel()
	s := newNamedScene(t)
	holder, waiter := s.client(), s.client(mysql.Poll(time.Minute), mysql.SessionTimeout(time.Hour))
	carried := s.acquire(waiter, "carried")
	held := s.acquire(holder, "n")
	got := s.waits(waiter, "n")
	for range 3 {
		before := s.waiting("n")
		require.Len(t, before, 1)
		s.terminate(before[0])
		s.eventually(func() bool { return len(s.waiting("n")) == 1 }, "it waits again")
		require.NotEqual(t, before, s.waiting("n"))
	}
	require.NoError(t, carried.Verify(t.Context()))
	s.terminate(s.holder("carried"))
	s.ends(carried)
	require.NoError(t, held.Verify(t.Context()))
	s.release(held)
	s.release(s.granted(got, 0), s.acquire(waiter, "carried"))
	s.free("n", "carried")
}

// TestNamedKilledStatementLosesNothing neither that of a connection that waits, nor that of one that holds.
func TestNamedKilledStatementLosesNothing(t *testing.T) {
	t.Parallel()
	s := newNamedScene(t)
	c := s.client(mysql.Poll(time.Minute))
	carried, inherited := s.carriedAndInherited(c)
	held := s.acquire(s.client(), "n")
	got := s.waits(c, "n")
	for range 20 {
		for _, id := range append(s.waiting("n"), s.holder("carried"), s.holder("inherited")) {
			s.kill("QUERY", id)
		}
		s.eventually(func() bool { return len(s.waiting("n")) == 1 }, "it waits again")
		for _, l := range []*sqllock.Lock{carried, inherited, held} {
			require.NoError(t, l.Err())
		}
	}
	for _, l := range []*sqllock.Lock{carried, inherited, held} {
		require.NoError(t, l.Verify(t.Context()))
	}
	s.release(held)
	s.release(s.granted(got, 0), carried, inherited)
	s.free("n", "carried", "inherited")
}

// TestNamedOutageIsNotContention has somebody wait over a planned restart and over a crash. Whoever asks meanwhile does not learn whether
// somebody holds, and must not be told that somebody does.
func TestNamedOutageIsNotContention(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*testdb.MySQLServer){
		"Restart": (*testdb.MySQLServer).Stop, "Crash": (*testdb.MySQLServer).Kill,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx := t.Context()
			server := testdb.StartMySQL(t)
			migrate(t, server.Config())
			s := namedSceneAt(t, server.Config())
			opts := []mysql.Option{mysql.WithTokens(), mysql.SessionTimeout(time.Hour)}
			holder, waiter, stranger := s.client(opts...), s.client(opts...), s.client(opts...)
			held, hopeless := s.acquire(holder, "n"), s.acquire(holder, "hopeless")
			got := s.waits(waiter, "n")
			impatient, cancel := context.WithCancel(ctx)
			defer cancel()
			gaveUp := make(chan error, 1)
			go func() {
				_, err := waiter.Acquire(impatient, "hopeless")
				gaveUp <- err
			}()
			s.eventually(func() bool { return len(s.waiting("hopeless")) == 1 }, "somebody else waits too")

			end(server)
			s.ends(held)
			s.ends(hopeless)
			for range 3 {
				for who, c := range map[string]*sqllock.Client{"who held": holder, "who waits": waiter, "a stranger": stranger} {
					_, err := c.TryAcquire(ctx, "free")
					unknownHolder(t, err, who)
					_, err = c.Acquire(ctx, "free", sqllock.Wait(time.Minute))
					unknownHolder(t, err, who)
					unknownHolder(t, c.Ping(ctx), who)
					unknownHolder(t, c.ForceRelease(ctx, "n"), who)
				}
			}
			cancel()
			unknownHolder(t, <-gaveUp, "who has waited in vain")

			server.Start()
			next := s.granted(got, 2*time.Second) // the longest pause between attempts to connect
			require.NoError(t, next.Verify(ctx))
			assert.Greater(t, next.Token(), held.Token())
			require.ErrorIs(t, held.Err(), sqllock.ErrLost)
			s.eventually(func() bool { return holder.Ping(ctx) == nil }, "the server is back")
			s.refused(holder, "n")
			s.release(next, s.acquire(holder, "hopeless"))
		})
	}
}

// TestNamedReleaseAfterTheSessionIsNoSuccess ends the session between the last look at it and the release.
func TestNamedReleaseAfterTheSessionIsNoSuccess(t *testing.T) {
	t.Parallel()
	s := newNamedScene(t)
	c := s.client()
	for i := range 20 {
		name := fmt.Sprint("n", i)
		l := s.acquire(c, name)
		s.kill("CONNECTION", s.holder(name))
		// Depending on who is faster, it was released, it is known to be lost, or nobody knows.
		if err := l.Release(t.Context()); err != nil {
			assert.NotErrorIs(t, err, sqllock.ErrNotAcquired)
		}
		s.free(name)
		s.eventually(func() bool { return c.Ping(t.Context()) == nil }, "it connects again")
	}
}
