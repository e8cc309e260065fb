package sqlite_test

import (
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sqllock/toolkit/internal/testdb"
	migrations "github.com/sqllock/toolkit/migrations/sqlite"
	"github.com/sqllock/toolkit/sqlite"
	"github.com/sqllock/toolkit/sqllock"
	"github.com/sqllock/toolkit/sqllock/locktest"
)

func TestMain(m *testing.M) { testdb.Main(m) }

func TestTable(t *testing.T) { locktest.Run(t, table()) }

// table is sqlite.Table as the conformance suite sees it. The DSN is the path of the file.
func table() locktest.Subject {
	return locktest.Subject{
		Fresh: func(tb testing.TB) string {
			path := filepath.Join(tb.TempDir(), "locks and data.db")
			db, err := open(path)
			require.NoError(tb, err)
			require.NoError(tb, migrations.Up(tb.Context(), db))
			require.NoError(tb, db.Close())
			return path
		},
		Backend: func(path string) (sqllock.Backend, func(), error) {
			table := sqlite.Table(path)
			return table, func() { _ = table.Close(context.Background()) }, nil
		},
		DB:           open,
		Unreachable:  filepath.Join("directory", "that is not there", "locks.db"),
		CountChanges: countChanges,
		Purge: func(ctx context.Context, b sqllock.Backend) error {
			_, err := b.(*sqlite.TableBackend).Purge(ctx, 0)
			return err
		},
		Guard: func(ctx context.Context, b sqllock.Backend, tx *sql.Tx, lock *sqllock.Lock) error {
			return b.(*sqlite.TableBackend).Guard(ctx, tx, lock)
		},
		LockTx: func(ctx context.Context, b sqllock.Backend, tx *sql.Tx, name string) error {
			return b.(*sqlite.TableBackend).LockTx(ctx, tx, name)
		},
		TryLockTx: func(ctx context.Context, b sqllock.Backend, tx *sql.Tx, name string) error {
			return b.(*sqlite.TableBackend).TryLockTx(ctx, tx, name)
		},
		WithTx: func(ctx context.Context, b sqllock.Backend, name string, _ sql.IsolationLevel, fn func(locktest.Tx) error) error {
			return b.(*sqlite.TableBackend).WithTx(ctx, name, func(tx *sql.Tx) error { return fn(locktest.SQLTx{Tx: tx}) })
		},
		WithTxLevels: []sql.IsolationLevel{sql.LevelDefault},
		OneWriter:    true,
	}
}

// open gives the application a connection that waits for its turn to write.
func open(path string) (*sql.DB, error) {
	q := url.Values{"_pragma": {"busy_timeout(20000)", "journal_mode(WAL)"}, "_txlock": {"immediate"}}
	return sql.Open("sqlite", "file:"+(&url.URL{Path: path}).EscapedPath()+"?"+q.Encode())
}

// countChanges writes down every row that changes.
func countChanges(tb testing.TB, path string) func() map[string]int {
	tb.Helper()
	db, err := open(path)
	require.NoError(tb, err)
	tb.Cleanup(func() { _ = db.Close() })
	_, err = db.ExecContext(tb.Context(), "CREATE TABLE changes (of TEXT NOT NULL)")
	require.NoError(tb, err)
	for _, table := range []string{"meta", "sessions", "resources", "holders", "waiters"} {
		for _, change := range []string{"INSERT", "UPDATE", "DELETE"} {
			_, err := db.ExecContext(tb.Context(), fmt.Sprintf(
				"CREATE TRIGGER count_%[1]s_%[2]s AFTER %[2]s ON sqllock_%[1]s BEGIN INSERT INTO changes VALUES ('sqllock_%[1]s'); END", table, change))
			require.NoError(tb, err)
		}
	}
	return func() map[string]int {
		rows, err := db.QueryContext(tb.Context(), "SELECT of, count(*) FROM changes GROUP BY of")
		require.NoError(tb, err)
		defer rows.Close()
		counts := make(map[string]int)
		for rows.Next() {
			var of string
			var n int
			require.NoError(tb, rows.Scan(&of, &n))
			counts[of] = n
		}
		require.NoError(tb, rows.Err())
		return counts
	}
}

func TestBackendMakesItsSchemaByItself(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "100% new?.db#1")
	locks := sqllock.New(sqlite.Table(path), sqllock.TTL(time.Second))
	require.NoError(t, locks.Ping(t.Context()))
	require.FileExists(t, path)
	lock, err := locks.TryAcquire(t.Context(), "n")
	require.NoError(t, err)
	require.EqualValues(t, 1, lock.Token())
	require.NoError(t, lock.Release(t.Context()))
	require.NoError(t, locks.Close(t.Context()))
}

func TestBackendRefusesPathsThatAreNotFiles(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"", ":memory:", "a\x00b"} {
		locks := sqllock.New(sqlite.Table(path))
		_, err := locks.TryAcquire(t.Context(), "n")
		require.ErrorIs(t, err, sqllock.ErrInvalid)
		require.NoError(t, locks.Close(t.Context()))
	}
}

func TestBackendRefusesASchemaOfTheFuture(t *testing.T) {
	t.Parallel()
	path := table().Fresh(t)
	db, err := open(path)
	require.NoError(t, err)
	_, err = db.ExecContext(t.Context(), "UPDATE sqllock_meta SET oldest_reader = 1000")
	require.NoError(t, err)
	require.NoError(t, db.Close())
	locks := sqllock.New(sqlite.Table(path))
	require.ErrorIs(t, locks.Ping(t.Context()), sqllock.ErrSchema)
	_, err = locks.TryAcquire(t.Context(), "n")
	require.ErrorIs(t, err, sqllock.ErrSchema)
	require.NoError(t, locks.Close(t.Context()))
}
