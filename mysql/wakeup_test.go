package mysql_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sqllock/toolkit/mysql"
	"github.com/sqllock/toolkit/sqllock"
)

func TestReleaseWakesTheWaiterWithoutAnyPoll(t *testing.T) {
	t.Parallel()
	cfg := tables(t)
	a, b := lease(t, cfg, mysql.Poll(time.Minute)), lease(t, cfg, mysql.Poll(time.Minute))
	for range 20 { // the lease is an hour long: neither would end the wait in time
		handOver(t, a, b, "n")
	}
}

// bellOf is the connection that sleeps for the session of the only Client that waits or holds, once it is asleep.
func bellOf(t *testing.T, p leaseholder) (connection int) {
	t.Helper()
	require.Eventually(t, func() bool {
		connection = p.int(t, `SELECT COALESCE(MAX(IS_USED_LOCK(CONCAT('sqllock asleep ', COALESCE(IS_USED_LOCK(CONCAT('sqllock bell ', id)), 0)))), 0)
			FROM sqllock_sessions`)
		return connection != 0
	}, 10*time.Second, time.Millisecond)
	return connection
}

// TestForcedReleaseIsPushed also loses the connection by which that is done, once.
func TestForcedReleaseIsPushed(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	cfg := tables(t)
	holder, other := lease(t, cfg), lease(t, cfg)
	for range 2 {
		l, err := holder.client.Acquire(ctx, "n")
		require.NoError(t, err)
		first := bellOf(t, other)
		other.exec(t, fmt.Sprintf("KILL %d", first))
		require.Eventually(t, func() bool { return bellOf(t, other) != first }, 10*time.Second, time.Millisecond)
		require.NoError(t, l.Verify(ctx), "a lease outlives its connections")

		require.NoError(t, other.client.ForceRelease(ctx, "n"))
		select {
		case <-l.Done():
			assert.ErrorIs(t, l.Err(), sqllock.ErrForced)
		case <-time.After(10 * time.Second):
			t.Fatal("the holder is not told")
		}
	}
}

// TestWaiterPollsWhereNobodyCanRing takes the bell down for good, as a proxy may that knows no user locks.
func TestWaiterPollsWhereNobodyCanRing(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	cfg := tables(t)
	a, b := lease(t, cfg), lease(t, cfg)
	held, err := a.client.Acquire(ctx, "n")
	require.NoError(t, err)
	got := make(chan error, 1)
	go func() {
		_, err := b.client.Acquire(ctx, "n")
		got <- err
	}()
	require.Eventually(t, func() bool { return a.int(t, "SELECT COUNT(*) FROM sqllock_waiters") == 1 }, 10*time.Second, time.Millisecond)
	a.exec(t, "DELETE FROM sqllock_holders") // nobody rings for this
	require.NoError(t, awaitErr(t, "the waiter looks by itself", got))
	require.ErrorIs(t, held.Release(ctx), sqllock.ErrLost)
}

// TestBellSleepsWithoutHoldingAnythingUp: whoever changes a table, or stops all writes for a backup, waits for statements that use tables.
func TestBellSleepsWithoutHoldingAnythingUp(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	cfg := tables(t)
	p := lease(t, cfg)
	l, err := p.client.Acquire(ctx, "n")
	require.NoError(t, err)
	bellOf(t, p)
	cfg.Params = map[string]string{"lock_wait_timeout": "1"}
	admin := lease(t, cfg)
	for _, table := range []string{"meta", "sessions", "resources", "holders", "waiters"} {
		admin.exec(t, "ALTER TABLE sqllock_"+table+" COMMENT = 'changed while in use'")
	}
	bellOf(t, p)
	require.NoError(t, l.Release(ctx))
}
