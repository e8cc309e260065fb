//go:build linux

package torture

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"net/url"
	"time"

	driver "github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	_ "modernc.org/sqlite" // the driver "sqlite"

	"github.com/sqllock/toolkit/mysql"
	"github.com/sqllock/toolkit/postgres"
	"github.com/sqllock/toolkit/sqlite"
	"github.com/sqllock/toolkit/sqllock"
)

// The backends.
const (
	postgresAdvisory = "postgres.Advisory"
	postgresTable    = "postgres.Table"
	mysqlNamed       = "mysql.Named"
	mysqlTable       = "mysql.Table"
	sqliteTable      = "sqlite.Table"
)

// leases says whether the locks of a backend end with time, not with a connection.
func leases(kind string) bool { return kind != postgresAdvisory && kind != mysqlNamed }

const (
	// ttl is short, so that faults can outlast it often.
	ttl = time.Second
	// sessionTimeout is the shortest that there is.
	sessionTimeout = 3 * time.Second
)

// database is the way to a database: the DSN of PostgreSQL or MySQL, or the path of a SQLite file, and how to dial it.
type database struct {
	dsn  string
	dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// party is what a process of the application has: a Client, and a database of its own.
type party struct {
	backend sqllock.Backend
	locks   *sqllock.Client
	db      *sql.DB
	guard   func(ctx context.Context, tx *sql.Tx, lock *sqllock.Lock) error
	lockTx  func(ctx context.Context, tx *sql.Tx, name string) error                // nil: there is none
	withTx  func(ctx context.Context, name string, fn func(tx *sql.Tx) error) error // nil: not tried
	close   func(ctx context.Context) error
}

// open makes a party. Locks and data go different ways, each of which may fail alone.
func open(kind, owner string, locks, data database) (*party, error) {
	var p *party
	var err error
	switch kind {
	case postgresAdvisory, postgresTable:
		p, err = openPostgres(kind, owner, locks, data)
	case mysqlNamed, mysqlTable:
		p, err = openMySQL(kind, locks, data)
	case sqliteTable:
		p, err = openSQLite(data)
	default:
		err = fmt.Errorf("torture: no backend %q", kind)
	}
	if err != nil {
		return nil, err
	}
	opts := []sqllock.ClientOption{sqllock.Owner(owner)}
	if p.backend.Capabilities().Leases {
		opts = append(opts, sqllock.TTL(ttl))
	}
	p.locks = sqllock.New(p.backend, opts...)
	closeBackend := p.close
	p.close = func(ctx context.Context) error {
		return errors.Join(p.locks.Close(ctx), closeBackend(ctx), p.db.Close())
	}
	return p, nil
}

func openPostgres(kind, owner string, locks, data database) (*party, error) {
	cfg, err := pgxpool.ParseConfig(locks.dsn)
	if err != nil {
		return nil, fmt.Errorf("torture: %w", err)
	}
	cfg.ConnConfig.DialFunc = locks.dial
	pool, err := pgxpool.NewWithConfig(context.Background(), cfg)
	if err != nil {
		return nil, fmt.Errorf("torture: %w", err)
	}
	own, err := pgx.ParseConfig(data.dsn)
	if err != nil {
		return nil, fmt.Errorf("torture: %w", err)
	}
	own.DialFunc = data.dial
	own.RuntimeParams["application_name"] = "data of " + owner
	own.RuntimeParams["tcp_user_timeout"] = "5000" // a transaction whose client is silent must end
	p := &party{db: stdlib.OpenDB(*own)}
	if kind == postgresTable {
		table := postgres.Table(pool)
		p.backend, p.guard, p.lockTx = table, table.GuardSQL, table.LockSQLTx
		p.close = func(ctx context.Context) error {
			defer pool.Close()
			return table.Close(ctx)
		}
		return p, nil
	}
	advisory := postgres.Advisory(pool, postgres.WithTokens(), postgres.SessionTimeout(sessionTimeout))
	p.backend, p.guard, p.lockTx = advisory, advisory.GuardSQL, advisory.LockSQLTx
	p.withTx = func(ctx context.Context, name string, fn func(tx *sql.Tx) error) error {
		return advisory.WithSQLTx(ctx, p.db, name, nil, fn)
	}
	p.close = func(ctx context.Context) error {
		defer pool.Close()
		return advisory.Close(ctx)
	}
	return p, nil
}

func openMySQL(kind string, locks, data database) (*party, error) {
	cfg, err := driver.ParseDSN(locks.dsn)
	if err != nil {
		return nil, fmt.Errorf("torture: %w", err)
	}
	cfg.DialFunc, cfg.Logger = locks.dial, &driver.NopLogger{}
	own, err := driver.ParseDSN(data.dsn)
	if err != nil {
		return nil, fmt.Errorf("torture: %w", err)
	}
	own.DialFunc, own.Logger = data.dial, &driver.NopLogger{}
	own.ReadTimeout = txTimeout // COMMIT has no context, and its connection may be one whose other end died in silence
	connector, err := driver.NewConnector(own)
	if err != nil {
		return nil, fmt.Errorf("torture: %w", err)
	}
	p := &party{db: sql.OpenDB(connector)}
	if kind == mysqlTable {
		table := mysql.Table(cfg)
		p.backend, p.guard, p.lockTx, p.close = table, table.Guard, table.LockTx, table.Close
		return p, nil
	}
	named := mysql.Named(cfg, mysql.WithTokens(), mysql.SessionTimeout(sessionTimeout))
	p.backend, p.guard, p.withTx, p.close = named, named.Guard, named.WithTx, named.Close
	return p, nil
}

func openSQLite(data database) (*party, error) {
	db, err := sql.Open("sqlite", sqliteDSN(data.dsn))
	if err != nil {
		return nil, fmt.Errorf("torture: %w", err)
	}
	table := sqlite.Table(data.dsn)
	return &party{backend: table, db: db, guard: table.Guard, lockTx: table.TryLockTx, close: table.Close}, nil
}

// sqliteDSN is how the application opens a file: it waits for its turn to write.
func sqliteDSN(path string) string {
	q := url.Values{"_pragma": {"busy_timeout(3000)", "journal_mode(WAL)"}}
	return "file:" + (&url.URL{Path: path}).EscapedPath() + "?" + q.Encode()
}
