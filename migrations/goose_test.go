package migrations_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sqllock/toolkit/migrations"
	"github.com/sqllock/toolkit/sqllock"
)

func TestSessionLockerHoldsTheLockForAConnection(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	locker := migrations.SessionLocker(s.locks, name)
	conn, err := s.db.Conn(t.Context())
	require.NoError(t, err)
	defer conn.Close()

	require.NoError(t, locker.SessionLock(t.Context(), conn))
	s.taken()
	ctx, cancel := context.WithTimeout(t.Context(), 100*poll)
	defer cancel()
	require.ErrorIs(t, migrations.SessionLocker(s.client(), name).SessionLock(ctx, conn), sqllock.ErrNotAcquired)
	require.NoError(t, locker.SessionUnlock(t.Context(), conn))
	s.free()
	require.NoError(t, conn.PingContext(t.Context()), "the connection is not touched")
	require.ErrorContains(t, locker.SessionUnlock(t.Context(), conn), "not locked")
}

func TestSessionThatHasLostItsLockDoesNotGoOn(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	locker := migrations.SessionLocker(s.locks, name)
	_, err := s.db.ExecContext(t.Context(), "CREATE TABLE steps (n)")
	require.NoError(t, err)
	conn, err := s.db.Conn(t.Context())
	require.NoError(t, err)
	require.NoError(t, locker.SessionLock(t.Context(), conn))
	tx, err := conn.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	_, err = tx.ExecContext(t.Context(), "INSERT INTO steps VALUES (1)")
	require.NoError(t, err)

	s.takeAway()

	require.Eventually(t, func() bool {
		_, err := tx.ExecContext(t.Context(), "INSERT INTO steps VALUES (1)")
		return err != nil
	}, patience, poll)
	require.Error(t, tx.Commit())
	_, err = conn.ExecContext(t.Context(), "INSERT INTO steps VALUES (2)")
	require.Error(t, err)
	require.ErrorIs(t, locker.SessionUnlock(t.Context(), conn), sqllock.ErrLost)
	_ = conn.Close()
	_, err = s.db.ExecContext(t.Context(), "INSERT INTO steps VALUES (3)")
	require.NoError(t, err, "the pool gives a connection that works")
	assert.Equal(t, 1, s.count("steps"))
}
