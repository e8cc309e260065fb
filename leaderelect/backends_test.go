package leaderelect_test

import (
	"context"
	"database/sql"
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"slices"
	"testing"
	"time"

	mysqldriver "github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	_ "github.com/jackc/pgx/v5/stdlib" // database/sql as applications use it
	"github.com/stretchr/testify/require"

	"github.com/sqllock/toolkit/internal/testdb"
	mymigrations "github.com/sqllock/toolkit/migrations/mysql"
	pgmigrations "github.com/sqllock/toolkit/migrations/postgres"
	"github.com/sqllock/toolkit/mysql"
	"github.com/sqllock/toolkit/postgres"
	"github.com/sqllock/toolkit/sqlite"
	"github.com/sqllock/toolkit/sqllock"
)

// backend is what elections are held on. Its functions are called in helper processes too, which know nothing but a DSN.
type backend struct {
	name  string
	fresh func(tb testing.TB) (dsn string)
	open  func(dsn string, over dial) (opened, error)
	db    func(dsn string) (*sql.DB, error)

	// start is fresh on a server that the test has to itself; nil: there is no server.
	start func(tb testing.TB) (dsn string, s server)
	// sever ends connections on the server: those that a member's session locks depend on, or with leases, whose connections do not matter, everybody's.
	sever func(ctx context.Context, db *sql.DB, m *member) error

	session      bool               // a lock ends with a connection: the others are leases
	oneWriter    bool               // a process that is stopped while it writes keeps all others from writing
	keepsStopped func(*sql.DB) bool // whether what a stopped process holds stays locked; nil: it does not
}

// dial is how a backend reaches its server; nil: as always.
type dial func(ctx context.Context, network, address string) (net.Conn, error)

type server interface {
	Start()
	Stop()
	Kill()
}

type opened struct {
	sqllock.Backend
	guard func(ctx context.Context, tx *sql.Tx, lock *sqllock.Lock) error
	close func()
}

// backends are those that every claim about real elections is tested on.
var backends = []backend{
	{name: "sqlite.Table", fresh: freshFile, open: openFile, db: fileDB, oneWriter: true},
	{name: "postgres.Table", fresh: freshPostgres, start: startPostgres, open: onPostgres(table), db: postgresDB, sever: severPostgres},
	{
		name: "postgres.Advisory", fresh: freshPostgres, start: startPostgres, open: onPostgres(advisory), db: postgresDB,
		sever: severAdvisory, session: true, keepsStopped: beforePostgres14,
	},
	{name: "mysql.Table on MariaDB or MySQL", fresh: freshMySQL, start: startMySQL, open: onMySQL(mysqlTable), db: mysqlDB, sever: severMySQL},
	{
		name: "mysql.Named on MariaDB or MySQL", fresh: freshMySQL, start: startMySQL, open: onMySQL(named), db: mysqlDB,
		sever: severNamed, session: true,
	},
}

// watched is Advisory with waiters that learn of a session's end as soon as the server does, and not with their next poll.
var watched = backend{
	name: "postgres.Advisory with Sentinel", fresh: freshPostgres, open: onPostgres(advisoryWithSentinel), db: postgresDB,
	sever: severAdvisory, session: true,
}

// everyBackend is all that helper processes have to know.
var everyBackend = append(slices.Clone(backends), watched)

// shortest is how long a lock outlives a process that is stopped, in tests that wait for that: longer than a busy machine stops one by itself.
const shortest = 4 * time.Second

func freshFile(tb testing.TB) string { return filepath.Join(tb.TempDir(), "locks and data.db") }

func openFile(path string, _ dial) (opened, error) {
	table := sqlite.Table(path)
	return opened{table, table.Guard, func() { _ = table.Close(context.Background()) }}, nil
}

func fileDB(path string) (*sql.DB, error) {
	return sql.Open("sqlite", "file:"+(&url.URL{Path: path}).EscapedPath()+"?_pragma=busy_timeout(10000)&_txlock=immediate")
}

func freshPostgres(tb testing.TB) string { return migratePostgres(tb, testdb.Postgres(tb)) }

func startPostgres(tb testing.TB) (string, server) {
	s := testdb.StartPostgres(tb)
	return migratePostgres(tb, s.DSN()), s
}

func migratePostgres(tb testing.TB, dsn string) string {
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

func advisoryWithSentinel(pool *pgxpool.Pool) postgresBackend {
	return postgres.Advisory(pool, postgres.WithTokens(), postgres.SessionTimeout(shortest), postgres.Sentinel())
}

func onPostgres(backend func(*pgxpool.Pool) postgresBackend) func(dsn string, over dial) (opened, error) {
	return func(dsn string, over dial) (opened, error) {
		cfg, err := pgxpool.ParseConfig(dsn)
		if err != nil {
			return opened{}, err
		}
		if over != nil {
			cfg.ConnConfig.DialFunc = pgconn.DialFunc(over)
		}
		pool, err := pgxpool.NewWithConfig(context.Background(), cfg)
		if err != nil {
			return opened{}, err
		}
		b := backend(pool)
		return opened{b, b.GuardSQL, pool.Close}, nil
	}
}

func severPostgres(ctx context.Context, db *sql.DB, _ *member) error {
	_, err := db.ExecContext(ctx, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()")
	return err
}

func severAdvisory(ctx context.Context, db *sql.DB, m *member) error {
	const end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND application_name = $1"
	_, err := db.ExecContext(ctx, end, m.id)
	return err
}

func freshMySQL(tb testing.TB) string { return migrateMySQL(tb, testdb.MySQL(tb).FormatDSN()) }

func startMySQL(tb testing.TB) (string, server) {
	s := testdb.StartMySQL(tb)
	return migrateMySQL(tb, s.Config().FormatDSN()), s
}

func migrateMySQL(tb testing.TB, dsn string) string {
	db, err := mysqlDB(dsn)
	require.NoError(tb, err)
	require.NoError(tb, mymigrations.Up(tb.Context(), db))
	require.NoError(tb, db.Close())
	return dsn
}

// mysqlConfig is without the driver's log, which tells of each connection that these tests end.
func mysqlConfig(dsn string) (*mysqldriver.Config, error) {
	cfg, err := mysqldriver.ParseDSN(dsn)
	if err != nil {
		return nil, err
	}
	cfg.Logger = &mysqldriver.NopLogger{}
	return cfg, nil
}

func mysqlDB(dsn string) (*sql.DB, error) {
	cfg, err := mysqlConfig(dsn)
	if err != nil {
		return nil, err
	}
	connector, err := mysqldriver.NewConnector(cfg)
	if err != nil {
		return nil, err
	}
	return sql.OpenDB(connector), nil
}

type mysqlBackend interface {
	sqllock.Backend
	Guard(ctx context.Context, tx *sql.Tx, lock *sqllock.Lock) error
	Close(ctx context.Context) error
}

func mysqlTable(cfg *mysqldriver.Config) mysqlBackend { return mysql.Table(cfg) }

func named(cfg *mysqldriver.Config) mysqlBackend {
	return mysql.Named(cfg, mysql.WithTokens(), mysql.SessionTimeout(shortest))
}

func onMySQL(backend func(*mysqldriver.Config) mysqlBackend) func(dsn string, over dial) (opened, error) {
	return func(dsn string, over dial) (opened, error) {
		cfg, err := mysqlConfig(dsn)
		if err != nil {
			return opened{}, err
		}
		cfg.DialFunc = over
		b := backend(cfg)
		return opened{b, b.Guard, func() { _ = b.Close(context.Background()) }}, nil
	}
}

func severMySQL(ctx context.Context, db *sql.DB, _ *member) error {
	rows, err := db.QueryContext(ctx, "SELECT id FROM information_schema.processlist WHERE db = DATABASE() AND id <> CONNECTION_ID()")
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	var ids []int64
	for rows.Next() {
		var id int64
		if err := rows.Scan(&id); err != nil {
			return err
		}
		ids = append(ids, id)
	}
	if err := rows.Err(); err != nil {
		return err
	}
	_ = rows.Close()
	for _, id := range ids {
		_, _ = db.ExecContext(ctx, fmt.Sprintf("KILL %d", id)) // an error: it has gone by itself, or it was ours
	}
	return nil
}

func severNamed(ctx context.Context, db *sql.DB, m *member) error {
	var id int64
	if err := db.QueryRowContext(ctx, "SELECT COALESCE(IS_USED_LOCK(?), 0)", m.opened.Key("election")).Scan(&id); err != nil {
		return err
	}
	_, err := db.ExecContext(ctx, fmt.Sprintf("KILL CONNECTION %d", id))
	return err
}
