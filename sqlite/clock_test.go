package sqlite_test

import (
	"context"
	"database/sql"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sqllock/toolkit/sqlite"
	"github.com/sqllock/toolkit/sqllock"
)

// jump does to a file what a jump of the machine's clock does: everything in it is so much longer ago.
func jump(t *testing.T, db *sql.DB, forward time.Duration) {
	t.Helper()
	for _, statement := range []string{
		"UPDATE sqllock_sessions SET expires_at = expires_at - ?",
		"UPDATE sqllock_holders SET keep_until = keep_until - ?",
	} {
		_, err := db.ExecContext(t.Context(), statement, forward.Milliseconds())
		require.NoError(t, err)
	}
}

func TestGuardHoldsWhenTheClockJumpsForward(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	path := table().Fresh(t)
	db, err := open(path)
	require.NoError(t, err)
	t.Cleanup(func() { _ = db.Close() })
	backend := sqlite.Table(path)
	t.Cleanup(func() { assert.NoError(t, backend.Close(context.Background())) })
	guard := func(l *sqllock.Lock) error {
		tx, err := db.BeginTx(ctx, nil)
		require.NoError(t, err)
		defer func() { _ = tx.Rollback() }()
		return backend.Guard(ctx, tx, l)
	}
	a, b := client(t, path, sqllock.TTL(time.Hour)), client(t, path, sqllock.TTL(time.Hour))
	held, err := a.Acquire(ctx, "n")
	require.NoError(t, err)
	require.NoError(t, guard(held))

	jump(t, db, 2*time.Hour)
	taken, err := b.Acquire(ctx, "n", sqllock.Wait(slack))
	require.NoError(t, err)
	assert.Greater(t, taken.Token(), held.Token())
	require.ErrorIs(t, guard(held), sqllock.ErrLost)
	require.NoError(t, guard(taken))
	select {
	case <-held.Done():
		assert.ErrorIs(t, held.Err(), sqllock.ErrEvicted)
	case <-time.After(slack):
		t.Error("its holder is not told")
	}
}

func TestLeasesGoOnWhenTheClockJumpsBack(t *testing.T) {
	t.Parallel()
	const ttl = 6 * time.Second
	ctx := t.Context()
	path := table().Fresh(t)
	db, err := open(path)
	require.NoError(t, err)
	t.Cleanup(func() { _ = db.Close() })
	held, err := client(t, path, sqllock.TTL(ttl)).Acquire(ctx, "n")
	require.NoError(t, err)

	jump(t, db, -time.Hour)
	require.Eventually(t, func() bool {
		var late int
		err := db.QueryRowContext(ctx, "SELECT count(*) FROM sqllock_sessions WHERE expires_at > ?", time.Now().Add(ttl).UnixMilli()).Scan(&late)
		return err == nil && late == 0
	}, slack, 10*time.Millisecond, "it has renewed")
	require.NoError(t, held.Verify(ctx))
	_, err = client(t, path).TryAcquire(ctx, "n")
	require.ErrorIs(t, err, sqllock.ErrNotAcquired)
	require.NoError(t, held.Release(ctx))
}
