package leaderelect_test

import (
	"context"
	"database/sql"
	"net/url"
	"path/filepath"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	_ "github.com/jackc/pgx/v5/stdlib" // database/sql as applications use it
	"github.com/stretchr/testify/require"

	"github.com/sqllock/toolkit/internal/testdb"
	pgmigrations "github.com/sqllock/toolkit/migrations/postgres"
	"github.com/sqllock/toolkit/postgres"
	"github.com/sqllock/toolkit/sqlite"
	"github.com/sqllock/toolkit/sqllock"
)

// backend is what elections are held on. Its functions are called in helper processes too, which know nothing but a DSN.
type backend struct {
	name  string
	fresh func(tb testing.TB) (dsn string)
	open  func(dsn string) (opened, error)
	db    func(dsn string) (*sql.DB, error)

	oneWriter    bool               // a process that is stopped while it writes keeps all others from writing
	keepsStopped func(*sql.DB) bool // whether what a stopped process holds stays locked; nil: it does not
}

type opened struct {
	sqllock.Backend
	guard func(ctx context.Context, tx *sql.Tx, lock *sqllock.Lock) error
	close func()
}

// backends are those that every claim about real elections is tested on.
var backends = []backend{
	{name: "sqlite.Table", fresh: freshFile, open: openFile, db: fileDB, oneWriter: true},
	{name: "postgres.Table", fresh: freshPostgres, open: onPostgres(table), db: postgresDB},
	{name: "postgres.Advisory", fresh: freshPostgres, open: onPostgres(advisory), db: postgresDB, keepsStopped: beforePostgres14},
}

// shortest is how long a lock outlives a process that is stopped, in tests that wait for that: longer than a busy machine stops one by itself.
const shortest = 4 * time.Second

func freshFile(tb testing.TB) string { return filepath.Join(tb.TempDir(), "locks and data.db") }

func openFile(path string) (opened, error) {
	table := sqlite.Table(path)
	return opened{table, table.Guard, func() { _ = table.Close(context.Background()) }}, nil
}

func fileDB(path string) (*sql.DB, error) {
	return sql.Open("sqlite", "file:"+(&url.URL{Path: path}).EscapedPath()+"?_pragma=busy_timeout(10000)&_txlock=immediate")
}

func freshPostgres(tb testing.TB) string {
	dsn := testdb.Postgres(tb)
	db, err := postgresDB(dsn)
	require.NoError(tb, err)
	require.NoError(tb, pgmigrations.Up(tb.Context(), db))
	require.NoError(tb, db.Close())
	return dsn
}

func postgresDB(dsn string) (*sql.DB, error) { return sql.Open("pgx", dsn) }

// beforePostgres14 is whether the server does not know idle_session_timeout.
func beforePostgres14(db *sql.DB) bool {
	var version int
	err := db.QueryRowContext(context.Background(), "SELECT current_setting('server_version_num')::int").Scan(&version)
	return err == nil && version < 140000
}

type postgresBackend interface {
	sqllock.Backend
	GuardSQL(ctx context.Context, tx *sql.Tx, lock *sqllock.Lock) error
}

func table(pool *pgxpool.Pool) postgresBackend { return postgres.Table(pool) }

func advisory(pool *pgxpool.Pool) postgresBackend {
	return postgres.Advisory(pool, postgres.WithTokens(), postgres.SessionTimeout(shortest))
}

func onPostgres(backend func(*pgxpool.Pool) postgresBackend) func(dsn string) (opened, error) {
	return func(dsn string) (opened, error) {
		pool, err := pgxpool.New(context.Background(), dsn)
		if err != nil {
			return opened{}, err
		}
		b := backend(pool)
		return opened{b, b.GuardSQL, pool.Close}, nil
	}
}
