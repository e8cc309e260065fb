package postgres_test

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sqllock/toolkit/postgres"
	"github.com/sqllock/toolkit/sqllock"
)

// TestAdvisoryCancelledStatementsLeaveNoDoubt has an administrator, or a tool, cancel whatever the sessions do, all the time, while many
// goroutines acquire and release. A statement that is cancelled keeps the locks that it has taken and gives back what it would have
// notified, and its caller has no answer. Nobody may believe to hold what another holds, and what nobody wants must not stay.
func TestAdvisoryCancelledStatementsLeaveNoDoubt(t *testing.T) {
	t.Parallel()
	const rounds, perClient, names = 60, 6, 3
	ctx := t.Context()
	s := newScene(t)
	backend := postgres.Advisory(s.pool)
	var clients []*sqllock.Client
	for range 2 {
		c := sqllock.New(backend)
		t.Cleanup(func() { assert.NoError(t, c.Close(context.Background())) })
		require.NoError(t, c.Ping(ctx))
		clients = append(clients, c)
	}
	storm, calm := context.WithCancel(ctx)
	var weather, all sync.WaitGroup
	var cancelled, granted, failed atomic.Int64
	admin := s.session()
	weather.Go(func() {
		for storm.Err() == nil {
			var n int64
			err := admin.QueryRow(ctx, `SELECT count(*) FILTER (WHERE pg_cancel_backend(l.pid)) FROM (SELECT DISTINCT pid FROM pg_locks
				WHERE locktype = 'advisory' AND objsubid = 2 AND database = (SELECT oid FROM pg_database WHERE datname = current_database())) l`).Scan(&n)
			if !assert.NoError(t, err) {
				return
			}
			cancelled.Add(n)
		}
	})
	// Each name has at most one holder. Whoever is granted it asks the one before, who must have ended the holding, or been told.
	var holders [names]atomic.Pointer[sqllock.Lock]
	for _, c := range clients {
		for worker := range perClient {
			all.Go(func() {
				for round := 0; round < rounds || failed.Load() == 0 && round < 100*rounds; round++ { // the storm may be slow to come
					i := (worker + round) % names
					acquire := c.TryAcquire
					if round%2 == 0 {
						acquire = c.Acquire
					}
					l, err := acquire(ctx, "n"+strconv.Itoa(i))
					switch {
					case err == nil:
						granted.Add(1)
						before := holders[i].Swap(l)
						if before != nil && before.Err() == nil && l.Err() == nil {
							t.Errorf("two hold n%d", i)
						}
						err = l.Release(ctx)
						if err != nil {
							failed.Add(1)
							ofTheDatabase(t, err)
						}
					case !errors.Is(err, sqllock.ErrNotAcquired):
						failed.Add(1)
						ofTheDatabase(t, err)
					}
				}
			})
		}
	}
	all.Wait()
	calm()
	weather.Wait()
	t.Logf("%d cancelled, %d granted, %d failed", cancelled.Load(), granted.Load(), failed.Load())
	assert.Positive(t, granted.Load())
	assert.Positive(t, failed.Load(), "the storm has hit nothing")

	s.onlySessionsLeft()
	var want, held []string
	for i := range names {
		for _, name := range []string{"n" + strconv.Itoa(i), "another" + strconv.Itoa(i)} {
			l := s.acquire(clients[i%2], name)
			require.NoError(t, l.Verify(ctx))
			s.refused(clients[(i+1)%2], name)
			want = append(want, backend.Key(name))
			t.Cleanup(func() { assert.NoError(t, l.Release(context.Background())) })
		}
	}
	rows, err := s.pool.Query(ctx, `SELECT ((l.classid::bigint << 32) | l.objid::bigint)::text FROM pg_locks l
		WHERE locktype = 'advisory' AND objsubid = 1 AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`)
	require.NoError(t, err)
	for rows.Next() {
		var key string
		require.NoError(t, rows.Scan(&key))
		held = append(held, key)
	}
	require.NoError(t, rows.Err())
	slices.Sort(want)
	slices.Sort(held)
	assert.Equal(t, want, held)
}

// ofTheDatabase demands an error that the server gave, or a loss for such a reason.
func ofTheDatabase(t *testing.T, err error) {
	t.Helper()
	var pg *pgconn.PgError
	if !errors.As(err, &pg) && !errors.Is(err, sqllock.ErrLost) {
		t.Errorf("not of the database: %v", err)
	}
}

// TestAdvisoryCancelledModesLeaveNoDoubt is the same for readers, writers and permits of one name, of which each takes several of the server's locks.
func TestAdvisoryCancelledModesLeaveNoDoubt(t *testing.T) {
	t.Parallel()
	const rounds, perClient, permits = 40, 6, 2
	ctx := t.Context()
	s := newScene(t)
	clients := []*sqllock.Client{s.client(postgres.Poll(50 * time.Millisecond)), s.client(postgres.Poll(50 * time.Millisecond))}
	for _, c := range clients {
		require.NoError(t, c.Ping(ctx))
	}
	storm, calm := context.WithCancel(ctx)
	var weather, all sync.WaitGroup
	admin := s.session()
	weather.Go(func() {
		for storm.Err() == nil {
			_, err := admin.Exec(ctx, `SELECT pg_cancel_backend(l.pid) FROM (SELECT DISTINCT pid FROM pg_locks
				WHERE locktype = 'advisory' AND objsubid = 2 AND database = (SELECT oid FROM pg_database WHERE datname = current_database())) l`)
			if !assert.NoError(t, err) {
				return
			}
		}
	})
	var mu sync.Mutex
	held := make(map[*sqllock.Lock]bool)
	var granted [3]atomic.Int64
	for _, c := range clients {
		for worker := range perClient {
			all.Go(func() {
				opts := [][]sqllock.Option{nil, {sqllock.Shared()}, {sqllock.Permits(permits)}}[worker%3]
				for range rounds {
					l, err := c.Acquire(ctx, "n", opts...)
					if err != nil {
						if !errors.Is(err, sqllock.ErrNotAcquired) {
							ofTheDatabase(t, err)
						}
						continue
					}
					granted[l.Mode()].Add(1)
					mu.Lock()
					held[l] = true
					count := [3]int{}
					for h := range held {
						if h.Err() == nil {
							count[h.Mode()]++
						}
					}
					x, r, p := count[sqllock.ModeExclusive], count[sqllock.ModeShared], count[sqllock.ModePermit]
					if x > 1 || p > permits || x > 0 && r+p > 0 || r > 0 && p > 0 {
						t.Errorf("%d writers, %d readers and %d permits at once", x, r, p)
					}
					mu.Unlock()
					if err := l.Release(ctx); err != nil {
						ofTheDatabase(t, err)
					}
					mu.Lock()
					delete(held, l)
					mu.Unlock()
				}
			})
		}
	}
	all.Wait()
	calm()
	weather.Wait()
	for m := range granted {
		assert.Positive(t, granted[m].Load(), sqllock.Mode(m))
	}
	s.onlySessionsLeft()
	for _, opts := range [][]sqllock.Option{nil, {sqllock.Shared()}, {sqllock.Permits(permits)}} {
		s.release(s.acquire(clients[0], "n", opts...))
	}
	s.onlySessionsLeft()
}
