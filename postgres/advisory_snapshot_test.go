package postgres_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sqllock/toolkit/postgres"
	"github.com/sqllock/toolkit/sqllock"
)

// TestAdvisoryWaitingPinsNoSnapshot: a program that waits inside pg_advisory_lock has a transaction open all the time, which keeps
// VACUUM from removing anything and CREATE INDEX CONCURRENTLY from ever completing, and deadlocks with a holder who runs the latter.
func TestAdvisoryWaitingPinsNoSnapshot(t *testing.T) {
	t.Parallel()
	const waiters = 20
	const poll = 300 * time.Millisecond
	s := newScene(t)
	s.exec("CREATE TABLE data AS SELECT i FROM generate_series(1, 1000) AS i")
	held := s.acquire(s.named("holder"), "migration")
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	for i := range waiters {
		c := s.named(fmt.Sprint("waiter ", i), postgres.Poll(poll))
		all.Go(func() {
			_, err := c.Acquire(ctx, "migration")
			assert.ErrorIs(t, err, sqllock.ErrNotAcquired)
		})
	}
	s.eventually(func() bool { return s.waiters("migration") == waiters }, "all wait")

	// A poll may be caught in the act, but not twice in the same transaction over most of an interval.
	type transaction struct {
		pid     int64
		started time.Time
	}
	first := make(map[transaction]time.Time)
	idle := 0
	for start := time.Now(); time.Since(start) < 5*poll/2 || idle < 10 && time.Since(start) < sceneSlack; time.Sleep(5 * time.Millisecond) {
		rows, err := s.pool.Query(t.Context(), `SELECT pid, xact_start FROM pg_stat_activity
			WHERE datname = current_database() AND application_name LIKE 'waiter %'
			AND (backend_xmin IS NOT NULL OR backend_xid IS NOT NULL OR xact_start IS NOT NULL OR state <> 'idle')`)
		require.NoError(t, err)
		busy, err := pgx.CollectRows(rows, func(r pgx.CollectableRow) (x transaction, err error) {
			var started *time.Time
			if err = r.Scan(&x.pid, &started); started != nil {
				x.started = *started
			}
			return x, err
		})
		require.NoError(t, err)
		if len(busy) == 0 {
			idle++
		}
		now := time.Now()
		for _, x := range busy {
			if seen, ok := first[x]; ok && !x.started.IsZero() {
				require.Less(t, now.Sub(seen), 2*poll, "a waiter has a transaction open since %v", x.started)
			} else {
				first[x] = now
			}
		}
	}
	assert.GreaterOrEqual(t, idle, 10, "most of the time no waiter has a snapshot, a transaction or a statement")

	for i := range 3 {
		building, stop := context.WithTimeout(t.Context(), 2*sceneSlack)
		_, err := s.pool.Exec(building, fmt.Sprintf("CREATE INDEX CONCURRENTLY data_%d ON data (i)", i))
		stop()
		require.NoError(t, err)
	}
	require.Equal(t, int64(3), s.int("SELECT count(*) FROM pg_index WHERE indrelid = 'data'::regclass AND indisvalid"))
	require.NoError(t, held.Verify(t.Context()))
	cancel()
	all.Wait()
	s.release(held)
	s.onlySessionsLeft()
}
