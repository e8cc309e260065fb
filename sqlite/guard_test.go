package sqlite_test

import (
	"context"
	"database/sql"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sqllock/toolkit/sqlite"
	"github.com/sqllock/toolkit/sqllock"
)

// openDeferred gives the application a connection as the driver has it by default: a transaction takes no lock before it needs one.
func openDeferred(t *testing.T, path string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+(&url.URL{Path: path}).EscapedPath()+"?_pragma=busy_timeout(20000)")
	require.NoError(t, err)
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func beginOn(t *testing.T, db *sql.DB) *sql.Tx {
	t.Helper()
	tx, err := db.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	t.Cleanup(func() { _ = tx.Rollback() })
	return tx
}

func leaseHolder(t *testing.T, b sqllock.Backend, owner string) *sqllock.Client {
	t.Helper()
	c := sqllock.New(b, sqllock.Owner(owner), sqllock.TTL(time.Hour))
	t.Cleanup(func() { assert.NoError(t, c.Close(context.Background())) })
	return c
}

// Nothing but the guard keeps others from writing, where the transaction has not written yet.
func TestGuardKeepsTheLockThoughItsTransactionHasNotWritten(t *testing.T) {
	t.Parallel()
	path := table().Fresh(t)
	b, db := sqlite.Table(path), openDeferred(t, path)
	holder, other := leaseHolder(t, b, "holder"), leaseHolder(t, sqlite.Table(path), "other")
	l, err := holder.TryAcquire(t.Context(), "n")
	require.NoError(t, err)
	tx := beginOn(t, db)
	require.NoError(t, b.Guard(t.Context(), tx, l))
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, other.ForceRelease(ctx, "n"), sqllock.ErrNotConfirmed)
	require.NoError(t, tx.Commit())
	require.NoError(t, other.ForceRelease(t.Context(), "n"))
}

// The row of the next holder is not that of the last.
func TestGuardOfAFormerHolderFailsWhileTheNextOneHolds(t *testing.T) {
	t.Parallel()
	path := table().Fresh(t)
	b, db := sqlite.Table(path, sqlite.Poll(time.Minute)), openDeferred(t, path)
	former, next := leaseHolder(t, b, "former"), leaseHolder(t, sqlite.Table(path), "next")
	l, err := former.TryAcquire(t.Context(), "n")
	require.NoError(t, err)
	_, err = db.ExecContext(t.Context(), "UPDATE sqllock_sessions SET expires_at = opened_at WHERE owner = 'former'")
	require.NoError(t, err)
	held, err := next.TryAcquire(t.Context(), "n")
	require.NoError(t, err)
	require.NoError(t, l.Err(), "it does not know")
	tx := beginOn(t, db)
	require.ErrorIs(t, b.Guard(t.Context(), tx, l), sqllock.ErrLost)
	require.NoError(t, tx.Rollback())
	require.NoError(t, held.Release(t.Context()))
}

// Both have looked while somebody else writes, and seen that it is free. Who writes first has to be seen by the other.
func TestOfTwoWhoLookAtTheSameTimeOneIsGranted(t *testing.T) {
	t.Parallel()
	path := table().Fresh(t)
	db, err := open(path)
	require.NoError(t, err)
	t.Cleanup(func() { _ = db.Close() })
	clients := []*sqllock.Client{leaseHolder(t, sqlite.Table(path), "a"), leaseHolder(t, sqlite.Table(path), "b")}
	for _, c := range clients {
		l, err := c.TryAcquire(t.Context(), "n") // so that name and sessions are there
		require.NoError(t, err)
		require.NoError(t, l.Release(t.Context()))
	}
	writes := beginOn(t, db)
	grants := make(chan error, len(clients))
	for _, c := range clients {
		go func() {
			_, err := c.TryAcquire(t.Context(), "n")
			grants <- err
		}()
	}
	<-time.After(300 * time.Millisecond) // they look, and nothing tells when they have: with more time a mistake is found more surely
	require.NoError(t, writes.Commit())
	granted := 0
	for range clients {
		if err := <-grants; err == nil {
			granted++
		} else {
			require.ErrorIs(t, err, sqllock.ErrNotAcquired)
		}
	}
	assert.Equal(t, 1, granted)
}
