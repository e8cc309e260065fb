package testmigrations

import (
	"context"
	"database/sql"
	"embed"
	"io/fs"
	"path/filepath"
	"testing"

	mysqldriver "github.com/go-sql-driver/mysql"
	"github.com/golang-migrate/migrate/v4/database"
	migratemysql "github.com/golang-migrate/migrate/v4/database/mysql"
	migratepgx "github.com/golang-migrate/migrate/v4/database/pgx/v5"
	migratesqlite "github.com/golang-migrate/migrate/v4/database/sqlite"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/sqllock/toolkit/internal/testdb"
	mysqlschema "github.com/sqllock/toolkit/migrations/mysql"
	postgresschema "github.com/sqllock/toolkit/migrations/postgres"
	"github.com/sqllock/toolkit/mysql"
	"github.com/sqllock/toolkit/postgres"
	"github.com/sqllock/toolkit/sqlite"
	"github.com/sqllock/toolkit/sqllock"
)

//go:embed testdata
var testdata embed.FS

// kind is a kind of database.
type kind struct {
	fresh  func(testing.TB) (dsn string) // with the toolkit's tables
	driver string                        // of database/sql
	open   func(dsn string) (database.Driver, error)
	gate   []string // lock the table that the third migration reads
	ungate string
	gated  string // how many migrations wait for it
	asleep string // how many sessions wait inside the server for a lock that is not on a table
	busy   string // how many other sessions do or wait for something
}

var kinds = map[string]kind{
	"postgres": {
		fresh: func(tb testing.TB) string {
			dsn := testdb.Postgres(tb)
			require.NoError(tb, postgresschema.Up(tb.Context(), open(tb, "pgx", dsn)))
			return dsn
		},
		driver: "pgx",
		open:   func(dsn string) (database.Driver, error) { return new(migratepgx.Postgres).Open(dsn) },
		gate:   []string{"BEGIN", "LOCK TABLE gate IN ACCESS EXCLUSIVE MODE"},
		ungate: "COMMIT",
		gated: `SELECT count(*) FROM pg_stat_activity
			WHERE datname = current_database() AND wait_event_type = 'Lock' AND wait_event = 'relation'`,
		asleep: `SELECT count(*) FROM pg_stat_activity
			WHERE datname = current_database() AND wait_event_type = 'Lock' AND wait_event = 'advisory'`,
		busy: "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state <> 'idle' AND pid <> pg_backend_pid()",
	},
	"mysql": {
		fresh: func(tb testing.TB) string {
			dsn := testdb.MySQL(tb).FormatDSN()
			require.NoError(tb, mysqlschema.Up(tb.Context(), open(tb, "mysql", dsn)))
			return dsn
		},
		driver: "mysql",
		open:   func(dsn string) (database.Driver, error) { return new(migratemysql.Mysql).Open("mysql://" + dsn) },
		gate:   []string{"LOCK TABLES gate WRITE"},
		ungate: "UNLOCK TABLES",
		gated: `SELECT count(*) FROM information_schema.processlist
			WHERE db = DATABASE() AND state = 'Waiting for table metadata lock'`,
		asleep: "SELECT count(*) FROM information_schema.processlist WHERE db = DATABASE() AND state = 'User lock' AND info NOT LIKE '%sqllock rope%'",
		// The Table's sessions sleep until somebody wakes them, and when their process is killed the server takes seconds to see that.
		busy: `SELECT count(*) FROM information_schema.processlist
			WHERE db = DATABASE() AND command <> 'Sleep' AND COALESCE(info, '') NOT LIKE '%sqllock rope%' AND id <> CONNECTION_ID()`,
	},
	"sqlite": {
		fresh:  func(tb testing.TB) string { return filepath.Join(tb.TempDir(), "app.db") },
		driver: "sqlite",
		open: func(dsn string) (database.Driver, error) {
			return new(migratesqlite.Sqlite).Open("sqlite://" + dsn + patient)
		},
	},
}

// patient are settings under which SQLite waits for writers.
const patient = "?_pragma=busy_timeout(60000)"

// files are the migrations for a kind of database.
func files(kind string) fs.FS {
	files, err := fs.Sub(testdata, "testdata/"+kind)
	if err != nil {
		panic(err) // they are compiled in
	}
	return files
}

// backend is a way to lock in a kind of database. The function it returns closes what it has opened.
func backend(ctx context.Context, kind, kindOfLock, dsn string) (sqllock.Backend, func(), error) {
	nothing := func() {}
	switch kind {
	case "postgres":
		pool, err := pgxpool.New(ctx, dsn)
		if err != nil {
			return nil, nothing, err
		}
		if kindOfLock == "table" {
			return postgres.Table(pool), pool.Close, nil
		}
		return postgres.Advisory(pool), pool.Close, nil
	case "mysql":
		cfg, err := mysqldriver.ParseDSN(dsn)
		if err != nil {
			return nil, nothing, err
		}
		if kindOfLock == "table" {
			return mysql.Table(cfg), nothing, nil
		}
		named := mysql.Named(cfg)
		return named, func() { _ = named.Close(context.WithoutCancel(ctx)) }, nil
	default:
		return sqlite.Table(dsn), nothing, nil
	}
}

func open(tb testing.TB, driver, dsn string) *sql.DB {
	tb.Helper()
	if driver == "sqlite" {
		dsn += patient
	}
	db, err := sql.Open(driver, dsn)
	require.NoError(tb, err)
	tb.Cleanup(func() { _ = db.Close() })
	return db
}
