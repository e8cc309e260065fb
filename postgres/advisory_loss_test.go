package postgres_test

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sqllock/toolkit/internal/testdb"
	"github.com/sqllock/toolkit/postgres"
	"github.com/sqllock/toolkit/sqllock"
)

// sessionOf is the server's process that holds name, or waits for it.
func (s *scene) sessionOf(name string, waiting bool) int64 {
	s.Helper()
	for _, i := range s.infos(name) {
		if i.Waiting == waiting {
			return i.PID
		}
	}
	s.Fatalf("no session has to do with %q", name)
	return 0
}

// terminate ends a session of the server, and returns when everything that it had locked is free.
func (s *scene) terminate(pid int64) {
	s.Helper()
	s.exec("SELECT pg_terminate_backend($1)", pid)
	s.eventually(func() bool {
		return s.int("SELECT count(*) FROM pg_locks WHERE pid = $1", pid)+s.int("SELECT count(*) FROM pg_stat_activity WHERE pid = $1", pid) == 0
	}, "process %d has ended", pid)
}

// ends waits for the end of a lock, of which its holder must be told.
func (s *scene) ends(l *sqllock.Lock) {
	s.Helper()
	select {
	case <-l.Done():
	case <-time.After(sceneSlack):
		s.Fatalf("the holder of %q is not told", l.Name())
	}
}

// unknown demands an error that says nothing about who holds: the database could not be asked.
func unknown(t *testing.T, err error, what string) {
	t.Helper()
	if assert.Error(t, err, what) {
		assert.NotErrorIs(t, err, sqllock.ErrNotAcquired, what)
		assert.NotErrorIs(t, err, sqllock.ErrLost, what)
		assert.NotErrorIs(t, err, sqllock.ErrRefused, what)
	}
}

// TestAdvisoryHolderIsToldWhyItsSessionEnded ends the session of a Client that holds several locks. It does not ask for anything
// meanwhile, and its next ping is hours away.
func TestAdvisoryHolderIsToldWhyItsSessionEnded(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	s := newScene(t)
	backend := postgres.Advisory(s.pool, postgres.SessionTimeout(time.Hour))
	c := sqllock.New(backend)
	t.Cleanup(func() { assert.NoError(t, c.Close(context.Background())) })
	other := s.client()
	locks := []*sqllock.Lock{
		s.acquire(c, "x"), s.acquire(c, "s", sqllock.Shared()), s.acquire(c, "s", sqllock.Shared()), s.acquire(c, "p", sqllock.Permits(2)),
	}
	held, cancel := locks[0].Context(ctx)
	defer cancel()
	s.terminate(s.sessionOf("x", false))
	for _, l := range locks {
		s.ends(l)
	}
	// All of it again once the Client has a new session: what was lost stays lost.
	for range 2 {
		for _, l := range locks {
			tx, err := s.pool.Begin(ctx)
			require.NoError(t, err)
			for what, err := range map[string]error{
				"Err": l.Err(), "Verify": l.Verify(ctx), "Guard": backend.Guard(ctx, tx, l), "Release": l.Release(ctx), "a second Release": l.Release(ctx),
			} {
				assert.ErrorIs(t, err, sqllock.ErrLost, "%s of %q", what, l.Name())
				var pg *pgconn.PgError
				if assert.ErrorAs(t, err, &pg, "%s of %q", what, l.Name()) {
					assert.Equal(t, "57P01", pg.Code)
				}
			}
			require.NoError(t, tx.Rollback(ctx))
		}
		assert.ErrorIs(t, context.Cause(held), sqllock.ErrLost)
		s.release(s.acquire(c, "another"))
		s.onlySessionsLeft() // nothing is taken again
	}
	for name, opts := range map[string][]sqllock.Option{"x": nil, "s": nil, "p": nil} {
		l, err := other.TryAcquire(ctx, name, opts...)
		require.NoError(t, err)
		s.release(l)
	}
}

// TestAdvisoryWaiterOutlivesItsSession ends the session of a Client that waits. It polls once a minute, so that it is served in time only
// if it has put itself in line again.
func TestAdvisoryWaiterOutlivesItsSession(t *testing.T) {
	t.Parallel()
	for name, mode := range map[string][]sqllock.Option{"Exclusive": nil, "Shared": {sqllock.Shared()}, "Permit": {sqllock.Permits(1)}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			holder, waiter := s.client(), s.client(postgres.Poll(time.Minute))
			held := s.acquire(holder, "n")
			got := s.waits(waiter, "n", mode...)
			for range 3 {
				before := s.sessionOf("n", true)
				s.terminate(before)
				s.eventually(func() bool { return s.waiters("n") == 1 }, "it waits again")
				require.NotEqual(t, before, s.sessionOf("n", true))
			}
			require.NoError(t, held.Verify(t.Context()))
			s.release(held)
			s.release(s.granted(got, 0))
			s.onlySessionsLeft()
		})
	}
}

// TestAdvisoryOutageIsNotContention has somebody wait over a planned restart and over a crash. Whoever asks meanwhile does not learn whether
// somebody holds, and must not be told that somebody does.
func TestAdvisoryOutageIsNotContention(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*testdb.PostgresServer){
		"Restart": (*testdb.PostgresServer).Stop, "Crash": (*testdb.PostgresServer).Kill,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx := t.Context()
			server := testdb.StartPostgres(t)
			migrate(t, server.DSN())
			s := sceneAt(t, server.DSN())
			holder, waiter, stranger := s.client(), s.client(), s.client()
			held := s.acquire(holder, "n")
			hopeless := s.acquire(holder, "hopeless")
			got := s.waits(waiter, "n")
			impatient, cancel := context.WithCancel(ctx)
			defer cancel()
			gaveUp := make(chan error, 1)
			go func() {
				_, err := waiter.Acquire(impatient, "hopeless")
				gaveUp <- err
			}()
			s.eventually(func() bool { return s.waiters("hopeless") == 1 }, "somebody else waits too")

			end(server)
			s.ends(held)
			s.ends(hopeless)
			require.ErrorIs(t, held.Err(), sqllock.ErrLost)
			for range 3 {
				for who, c := range map[string]*sqllock.Client{"who held": holder, "who waits": waiter, "a stranger": stranger} {
					_, err := c.TryAcquire(ctx, "free")
					unknown(t, err, who)
					_, err = c.TryAcquire(ctx, "n", sqllock.Shared())
					unknown(t, err, who)
					_, err = c.Acquire(ctx, "free", sqllock.Wait(time.Minute))
					unknown(t, err, who)
					unknown(t, c.Ping(ctx), who)
					unknown(t, c.ForceRelease(ctx, "n"), who)
				}
			}
			// Its session has tried to connect for those above, and failed, so that nobody knows any more what stood in its way.
			cancel()
			unknown(t, <-gaveUp, "who has waited in vain")

			server.Start()
			next := s.granted(got, 2*time.Second) // the longest pause between attempts to connect
			assert.Greater(t, next.Token(), held.Token(), "a crash takes no token back")
			require.NoError(t, next.Verify(ctx))
			require.ErrorIs(t, held.Err(), sqllock.ErrLost)
			_, err := holder.TryAcquire(ctx, "n")
			require.ErrorIs(t, err, sqllock.ErrNotAcquired)
			s.release(next, s.acquire(holder, "hopeless"))
		})
	}
}

// TestAdvisoryReleaseAfterTheSessionIsNoSuccess ends the session between the last look at it and the release.
func TestAdvisoryReleaseAfterTheSessionIsNoSuccess(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	s := newScene(t)
	for range 20 {
		c := s.client()
		l := s.acquire(c, "n")
		pid := s.sessionOf("n", false)
		err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
			_, err := tx.Exec(ctx, "SELECT pg_terminate_backend($1)", pid)
			return err
		})
		require.NoError(t, err)
		// Depending on who is faster, it was released, it is known to be lost, or nobody knows.
		if err := l.Release(ctx); err != nil && !errors.Is(err, sqllock.ErrLost) {
			unknown(t, err, "Release")
		}
		s.eventually(func() bool { return len(s.infos("n")) == 0 }, "nobody holds it any more")
		s.release(s.acquire(c, "n"))
	}
}

// TestAdvisoryLimitOutlivesSessions ends sessions while several attempts at one name are under way. Afterwards the Client must know
// how many of the server's locks it has: otherwise the limit that protects the server wears off with each outage.
func TestAdvisoryLimitOutlivesSessions(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	s := newScene(t)
	const limit = 5
	c := s.client(postgres.MaxLocks(limit), postgres.Poll(time.Millisecond))
	held := s.acquire(s.client(), "n")
	got := s.waits(c, "n")
	asking, enough := context.WithCancel(ctx)
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for asking.Err() == nil {
				if _, err := c.TryAcquire(ctx, "n"); !errors.Is(err, sqllock.ErrNotAcquired) {
					unknown(t, err, "TryAcquire")
				}
			}
		})
	}
	for range 10 {
		s.eventually(func() bool { return s.waiters("n") == 1 }, "it waits again")
		s.terminate(s.sessionOf("n", true))
	}
	enough()
	all.Wait()
	s.release(held)
	locks := []*sqllock.Lock{s.granted(got, time.Second)}
	for i := 1; i < limit; i++ {
		locks = append(locks, s.acquire(c, strconv.Itoa(i)))
	}
	_, err := c.TryAcquire(ctx, "one too many")
	require.ErrorIs(t, err, sqllock.ErrTooMany)
	s.release(locks...)
	s.onlySessionsLeft()
}
