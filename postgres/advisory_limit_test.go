package postgres_test

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sqllock/toolkit/internal/testdb"
	"github.com/sqllock/toolkit/postgres"
	"github.com/sqllock/toolkit/sqllock"
)

// lockCount is how many locks sessions of this database have beside marker and nonce.
func (s *scene) lockCount() int64 {
	s.Helper()
	return s.int(`SELECT count(*) - 2 * count(DISTINCT pid) FROM pg_locks
		WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`)
}

func TestAdvisoryMaxLocksBoundsOneClient(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	ctx := t.Context()
	c := s.client(postgres.MaxLocks(8))
	tooMany := func(name string, opts ...sqllock.Option) {
		t.Helper()
		for _, acquire := range []func(context.Context, string, ...sqllock.Option) (*sqllock.Lock, error){c.Acquire, c.TryAcquire} {
			_, err := acquire(ctx, name, opts...)
			require.ErrorIs(t, err, sqllock.ErrTooMany)
			require.NotErrorIs(t, err, sqllock.ErrNotAcquired)
			require.ErrorContains(t, err, "MaxLocks")
		}
	}
	for range 3 { // what was given up counts no more, however often
		held := []*sqllock.Lock{
			s.acquire(c, "x"),                   // 1
			s.acquire(c, "s", sqllock.Shared()), // 3
			s.acquire(c, "s", sqllock.Shared()), // for nothing
			s.acquire(c, "p", sqllock.Permits(2)),
		}
		require.Equal(t, int64(6), s.lockCount())
		tooMany("another permit", sqllock.Permits(2))
		held = append(held, s.acquire(c, "p", sqllock.Permits(2)))
		require.Equal(t, int64(7), s.lockCount())
		tooMany("another reader", sqllock.Shared())
		held = append(held, s.acquire(c, "y"))
		require.Equal(t, int64(8), s.lockCount())
		tooMany("z")
		_, err := c.AcquireAll(ctx, []string{"1", "2"})
		require.ErrorIs(t, err, sqllock.ErrTooMany)
		s.refused(c, "x")
		held = append(held, s.acquire(c, "s", sqllock.Shared()))
		require.Equal(t, int64(8), s.lockCount())
		other, err := s.client(postgres.MaxLocks(8)).TryAcquire(ctx, "z")
		require.NoError(t, err, "the bound is of one Client")
		s.release(other)
		for _, l := range held {
			require.NoError(t, l.Verify(ctx))
		}
		s.release(held...)
		require.Zero(t, s.lockCount())
		_, err = c.AcquireAll(ctx, []string{"1", "2", "3", "4", "5", "6", "7", "8", "9"})
		require.ErrorIs(t, err, sqllock.ErrTooMany)
		set, err := c.AcquireAll(ctx, []string{"1", "2", "3", "4", "5", "6", "7", "8"})
		require.NoError(t, err)
		require.NoError(t, set.Release(ctx))
	}
	s.onlySessionsLeft()
}

// TestAdvisoryFullLockTableLeaksNothing: a statement that fails keeps the locks that it had taken before it failed, and the server does not
// say which. What is held must be just what the Client knows of, and everything that was held before.
func TestAdvisoryFullLockTableLeaksNothing(t *testing.T) {
	t.Parallel()
	server := testdb.StartPostgres(t, "max_locks_per_transaction=10", "max_connections=10", "autovacuum=off")
	migrate(t, server.DSN())
	s := sceneAt(t, server.DSN())
	ctx := t.Context()
	c := s.client()
	held := []*sqllock.Lock{s.acquire(c, "x"), s.acquire(c, "s", sqllock.Shared()), s.acquire(c, "p", sqllock.Permits(2))}
	const locks = 1 + 2 + 3
	require.Equal(t, int64(locks), s.lockCount())
	full := func(err error) {
		t.Helper()
		require.ErrorIs(t, err, sqllock.ErrTooMany)
		require.NotErrorIs(t, err, sqllock.ErrNotAcquired)
		require.ErrorContains(t, err, "max_locks_per_transaction")
	}
	still := func(more int) {
		t.Helper()
		s.eventually(func() bool { return s.lockCount() == int64(locks+more) }, "%d locks are held", locks+more)
		for _, l := range held {
			require.NoError(t, l.Verify(ctx))
		}
	}
	names := make([]string, 4000)
	for i := range names {
		names[i] = fmt.Sprint("n", i)
	}
	for range 2 {
		for _, opts := range [][]sqllock.Option{nil, {sqllock.Wait(0)}, {sqllock.Shared()}, {sqllock.Permits(2)}} {
			_, err := c.AcquireAll(ctx, names, opts...)
			full(err)
			still(0)
		}

		// One at a time, each of which may be granted or not.
		var mu sync.Mutex
		var got []*sqllock.Lock
		failed := 0
		var all sync.WaitGroup
		for worker := range 16 {
			all.Go(func() {
				for _, name := range names[worker*len(names)/16 : (worker+1)*len(names)/16] {
					l, err := c.TryAcquire(ctx, name)
					mu.Lock()
					if err == nil {
						got = append(got, l)
					} else {
						failed++
						assert.ErrorIs(t, err, sqllock.ErrTooMany)
					}
					enough := failed > 100
					mu.Unlock()
					if enough {
						return
					}
				}
			})
		}
		all.Wait()
		require.NotEmpty(t, got)
		require.Positive(t, failed)
		// Some room is needed to look, and to verify.
		for _, l := range got[:20] {
			require.NoError(t, l.Release(ctx))
		}
		got = got[20:]
		still(len(got))
		for _, l := range got[:10] {
			require.NoError(t, l.Verify(ctx))
		}
		for _, l := range got {
			require.NoError(t, l.Err())
			require.NoError(t, l.Release(ctx))
		}
		still(0)
		set, err := c.AcquireAll(ctx, names[:50])
		require.NoError(t, err, "it works again")
		require.NoError(t, set.Release(ctx))
	}
	s.release(held...)
	s.onlySessionsLeft()
}
