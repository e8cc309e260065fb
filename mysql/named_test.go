package mysql_test

import (
	"context"
	"crypto/rand"
	"database/sql"
	"fmt"
	"strings"
	"sync"
	"testing"

	driver "github.com/go-sql-driver/mysql"
	"github.com/stretchr/testify/require"

	"github.com/sqllock/toolkit/internal/testdb"
	"github.com/sqllock/toolkit/mysql"
	"github.com/sqllock/toolkit/sqllock"
	"github.com/sqllock/toolkit/sqllock/locktest"
)

// TestNamed has nothing installed.
func TestNamed(t *testing.T) {
	s := named(t, mysql.Namespace("a 'namespace'"))
	fresh := instrumented(t)
	s.Fresh = func(tb testing.TB) string { return fresh(tb).FormatDSN() }
	s.Guard = nil
	locktest.Run(t, s)
}

func TestNamedWithTokens(t *testing.T) {
	locktest.Run(t, named(t, mysql.WithTokens()))
}

// named is mysql.Named as the conformance suite sees it.
func named(t *testing.T, opts ...mysql.Option) locktest.Subject {
	fresh := instrumented(t)
	return locktest.Subject{
		Fresh: func(tb testing.TB) string {
			cfg := fresh(tb)
			migrate(tb, cfg)
			return cfg.FormatDSN()
		},
		Backend: func(dsn string) (sqllock.Backend, func(), error) {
			cfg, err := driver.ParseDSN(dsn)
			if err != nil {
				return nil, nil, err
			}
			b := mysql.Named(cfg, opts...)
			return b, func() { _ = b.Close(context.Background()) }, nil
		},
		DB:          func(dsn string) (*sql.DB, error) { return sql.Open("mysql", dsn) },
		Unreachable: "nobody@tcp(127.0.0.1:1)/nothing",
		Hang: func(tb testing.TB) (string, func(), func()) {
			server := testdb.StartMySQL(tb)
			cfg := server.Config()
			migrate(tb, cfg)
			return cfg.FormatDSN(), server.Pause, server.Resume
		},
		Sever: severNamed,
		Guard: func(ctx context.Context, b sqllock.Backend, tx *sql.Tx, lock *sqllock.Lock) error {
			return b.(*mysql.NamedBackend).Guard(ctx, tx, lock)
		},
		WithTx: func(ctx context.Context, b sqllock.Backend, name string, level sql.IsolationLevel, fn func(locktest.Tx) error) error {
			opts := &sql.TxOptions{Isolation: level}
			return b.(*mysql.NamedBackend).WithTxOptions(ctx, name, opts, func(tx *sql.Tx) error { return fn(locktest.SQLTx{Tx: tx}) })
		},
		WithTxLevels: []sql.IsolationLevel{sql.LevelDefault, sql.LevelReadCommitted, sql.LevelRepeatableRead, sql.LevelSerializable},
	}
}

// instrumented is a server that tells everybody who holds user locks, which MariaDB does not do by default. Its databases are like those of
// [testdb.MySQL].
func instrumented(t *testing.T) func(testing.TB) *driver.Config {
	start := sync.OnceValue(func() *testdb.MySQLServer {
		return testdb.StartMySQL(t, "performance-schema=ON", "performance-schema-instrument=wait/lock/metadata/sql/mdl=ON", "max-connections=500")
	})
	return func(tb testing.TB) *driver.Config {
		tb.Helper()
		cfg := start().Config()
		db, err := sql.Open("mysql", cfg.FormatDSN())
		require.NoError(tb, err)
		defer db.Close()
		cfg.DBName = "test_" + strings.ToLower(rand.Text())
		_, err = db.Exec("CREATE DATABASE " + cfg.DBName)
		require.NoError(tb, err)
		return cfg
	}
}

// severNamed ends all other connections to the database of dsn, first those that wait: else they would be granted what the others have held,
// and lose it at once.
func severNamed(tb testing.TB, dsn string) {
	tb.Helper()
	db, err := sql.Open("mysql", dsn)
	require.NoError(tb, err)
	defer db.Close()
	rows, err := db.Query("SELECT ID FROM information_schema.PROCESSLIST WHERE DB = DATABASE() AND ID <> CONNECTION_ID() ORDER BY STATE = 'User lock' DESC")
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
		_, err := db.Exec(fmt.Sprintf("KILL CONNECTION %d", id)) // which MySQL does not prepare
		if number := new(driver.MySQLError); err != nil {
			require.ErrorAs(tb, err, &number)
			require.EqualValues(tb, 1094, number.Number, "it has ended by itself")
		}
	}
}
