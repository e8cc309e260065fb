package mysql_test

import (
	"context"
	"database/sql"
	"fmt"
	"testing"
	"time"

	driver "github.com/go-sql-driver/mysql"
	"github.com/stretchr/testify/require"

	"github.com/sqllock/toolkit/internal/testdb"
	migrations "github.com/sqllock/toolkit/migrations/mysql"
	"github.com/sqllock/toolkit/mysql"
	"github.com/sqllock/toolkit/sqllock"
	"github.com/sqllock/toolkit/sqllock/locktest"
)

func TestMain(m *testing.M) { testdb.Main(m) }

// TestTable has waiters poll so rarely that a wake-up that is lost fails the claim.
func TestTable(t *testing.T) { locktest.Run(t, table(mysql.Poll(time.Minute))) }

// table is mysql.Table as the conformance suite sees it.
func table(opts ...mysql.Option) locktest.Subject {
	return locktest.Subject{
		Fresh: func(tb testing.TB) string {
			cfg := testdb.MySQL(tb)
			migrate(tb, cfg)
			return cfg.FormatDSN()
		},
		Backend: func(dsn string) (sqllock.Backend, func(), error) {
			cfg, err := driver.ParseDSN(dsn)
			if err != nil {
				return nil, nil, err
			}
			b := mysql.Table(cfg, opts...)
			return b, func() { _ = b.Close(context.Background()) }, nil
		},
		DB:          func(dsn string) (*sql.DB, error) { return sql.Open("mysql", dsn) },
		Unreachable: "nobody@tcp(127.0.0.1:1)/nothing",
		Hang: func(tb testing.TB) (string, func(), func()) {
			server := testdb.StartMySQL(tb)
			migrate(tb, server.Config())
			return server.Config().FormatDSN(), server.Pause, server.Resume
		},
		Sever:        sever,
		CountChanges: countChanges,
		Purge: func(ctx context.Context, b sqllock.Backend) error {
			_, err := b.(*mysql.TableBackend).Purge(ctx, 0)
			return err
		},
		Guard: func(ctx context.Context, b sqllock.Backend, tx *sql.Tx, lock *sqllock.Lock) error {
			return b.(*mysql.TableBackend).Guard(ctx, tx, lock)
		},
		LockTx: func(ctx context.Context, b sqllock.Backend, tx *sql.Tx, name string) error {
			return b.(*mysql.TableBackend).LockTx(ctx, tx, name)
		},
		TryLockTx: func(ctx context.Context, b sqllock.Backend, tx *sql.Tx, name string) error {
			return b.(*mysql.TableBackend).TryLockTx(ctx, tx, name)
		},
		WithTx: func(ctx context.Context, b sqllock.Backend, name string, level sql.IsolationLevel, fn func(locktest.Tx) error) error {
			opts := &sql.TxOptions{Isolation: level}
			return b.(*mysql.TableBackend).WithTxOptions(ctx, name, opts, func(tx *sql.Tx) error { return fn(locktest.SQLTx{Tx: tx}) })
		},
		WithTxLevels: []sql.IsolationLevel{
			sql.LevelDefault, sql.LevelReadUncommitted, sql.LevelReadCommitted, sql.LevelRepeatableRead, sql.LevelSerializable,
		},
	}
}

func connect(tb testing.TB, cfg *driver.Config) *sql.DB {
	tb.Helper()
	connector, err := driver.NewConnector(cfg)
	require.NoError(tb, err)
	db := sql.OpenDB(connector)
	tb.Cleanup(func() { _ = db.Close() })
	return db
}

func open(tb testing.TB, dsn string) *sql.DB {
	tb.Helper()
	cfg, err := driver.ParseDSN(dsn)
	require.NoError(tb, err)
	return connect(tb, cfg)
}

func migrate(tb testing.TB, cfg *driver.Config) {
	tb.Helper()
	db := connect(tb, cfg)
	require.NoError(tb, migrations.Up(tb.Context(), db))
	require.NoError(tb, db.Close())
}

// sever ends all other connections to a database.
func sever(tb testing.TB, dsn string) {
	tb.Helper()
	db := open(tb, dsn)
	rows, err := db.QueryContext(tb.Context(), "SELECT id FROM information_schema.processlist WHERE db = DATABASE() AND id <> CONNECTION_ID()")
	require.NoError(tb, err)
	defer rows.Close()
	var ids []int64
	for rows.Next() {
		var id int64
		require.NoError(tb, rows.Scan(&id))
		ids = append(ids, id)
	}
	require.NoError(tb, rows.Err())
	for _, id := range ids {
		_, _ = db.ExecContext(tb.Context(), fmt.Sprintf("KILL %d", id)) // an error: it has just gone by itself
	}
}

// countChanges writes down every row that changes.
func countChanges(tb testing.TB, dsn string) func() map[string]int {
	tb.Helper()
	ctx := tb.Context()
	db := open(tb, dsn)
	_, err := db.ExecContext(ctx, "CREATE TABLE changes (id BIGINT AUTO_INCREMENT PRIMARY KEY, what VARCHAR(64) NOT NULL)")
	require.NoError(tb, err)
	for _, table := range []string{"meta", "sessions", "resources", "holders", "waiters"} {
		for _, change := range []string{"INSERT", "UPDATE", "DELETE"} {
			_, err := db.ExecContext(ctx, fmt.Sprintf(
				"CREATE TRIGGER count_%[1]s_%[2]s AFTER %[2]s ON sqllock_%[1]s FOR EACH ROW INSERT INTO changes (what) VALUES ('sqllock_%[1]s')", table, change))
			require.NoError(tb, err)
		}
	}
	return func() map[string]int {
		rows, err := db.QueryContext(ctx, "SELECT what, COUNT(*) FROM changes GROUP BY what")
		require.NoError(tb, err)
		defer rows.Close()
		counts := make(map[string]int)
		for rows.Next() {
			var table string
			var n int
			require.NoError(tb, rows.Scan(&table, &n))
			counts[table] = n
		}
		require.NoError(tb, rows.Err())
		return counts
	}
}
