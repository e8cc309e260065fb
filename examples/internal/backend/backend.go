// Package backend opens the database that the examples keep their locks in, so that each of them can be about its subject. An application,
// which knows its database, has one of the three functions at the end, and most of that already.
package backend

import (
	"context"
	"database/sql"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	driver "github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"

	mysqlschema "github.com/sqllock/toolkit/migrations/mysql"
	postgresschema "github.com/sqllock/toolkit/migrations/postgres"
	"github.com/sqllock/toolkit/mysql"
	"github.com/sqllock/toolkit/postgres"
	"github.com/sqllock/toolkit/sqlite"
	"github.com/sqllock/toolkit/sqllock"
)

var (
	dsn  = flag.String("dsn", presetDSN(), "postgres://…, mysql://… or sqlite:PATH")
	kind = flag.String("backend", "", "table for leases; the default are session locks, where the database has them")
)

// presetDSN is a file that all examples of this machine share.
func presetDSN() string {
	if dsn, ok := os.LookupEnv("SQLLOCK_DSN"); ok {
		return dsn
	}
	return "sqlite:" + filepath.Join(os.TempDir(), "sqllock-examples.db")
}

// Needs is what an example needs beside locks.
type Needs struct {
	// Tokens: each lock has a token, and can be guarded. For that the toolkit's tables are installed.
	Tokens bool

	// Silence is after what time a process that is not heard of has lost its locks. 0: the default of the backend.
	Silence time.Duration
}

// Backend is how locks are kept in a database, and that database.
type Backend struct {
	sqllock.Backend
	DB      *sql.DB                // for the application's own tables
	Options []sqllock.ClientOption // for sqllock.New

	// Guard has tx commit only if lock is held until then.
	Guard func(ctx context.Context, tx *sql.Tx, lock *sqllock.Lock) error
}

// Open opens what the flags say, which have to be parsed.
func Open(ctx context.Context, needs Needs) (*Backend, error) {
	table := *kind == "table"
	if *kind != "" && !table {
		return nil, fmt.Errorf("-backend %s: leave it out, or say table", *kind)
	}
	scheme, rest, _ := strings.Cut(*dsn, ":")
	switch scheme {
	case "postgres", "postgresql":
		return onPostgres(ctx, *dsn, table, needs)
	case "mysql", "mariadb":
		return onMySQL(ctx, *dsn, table, needs)
	case "sqlite":
		return onSQLite(rest, needs)
	}
	return nil, errors.New("-dsn needs postgres://, mysql:// or sqlite: at its beginning")
}

func onPostgres(ctx context.Context, dsn string, table bool, needs Needs) (*Backend, error) {
	pool, err := pgxpool.New(ctx, dsn)
	if err != nil {
		return nil, err
	}
	b := &Backend{DB: stdlib.OpenDBFromPool(pool)}
	if table || needs.Tokens {
		if err := postgresschema.Up(ctx, b.DB); err != nil { // as `sqllock migrate up` does
			return nil, err
		}
	}
	if table {
		t := postgres.Table(pool)
		b.Backend, b.Guard, b.Options = t, t.GuardSQL, ttl(needs)
		return b, nil
	}
	var opts []postgres.Option
	if needs.Silence != 0 {
		opts = append(opts, postgres.SessionTimeout(needs.Silence))
	}
	a := postgres.Advisory(pool, opts...)
	b.Backend, b.Guard = a, a.GuardSQL
	return b, nil
}

func onMySQL(ctx context.Context, dsn string, table bool, needs Needs) (*Backend, error) {
	u, err := url.Parse(dsn)
	if err != nil {
		return nil, errors.New("-dsn is not a URL") // what is wrong with it may be in its password
	}
	address := u.Host
	if u.Port() == "" {
		address = net.JoinHostPort(u.Hostname(), "3306")
	}
	cfg, err := driver.ParseDSN("tcp(" + address + ")" + u.Path + "?" + u.RawQuery)
	if err != nil {
		return nil, err
	}
	cfg.User = u.User.Username()
	cfg.Passwd, _ = u.User.Password()
	connector, err := driver.NewConnector(cfg)
	if err != nil {
		return nil, err
	}
	b := &Backend{DB: sql.OpenDB(connector)}
	if table || needs.Tokens {
		if err := mysqlschema.Up(ctx, b.DB); err != nil {
			return nil, err
		}
	}
	if table {
		t := mysql.Table(cfg)
		b.Backend, b.Guard, b.Options = t, t.Guard, ttl(needs)
		return b, nil
	}
	var opts []mysql.Option
	if needs.Tokens {
		opts = append(opts, mysql.WithTokens())
	}
	if needs.Silence != 0 {
		opts = append(opts, mysql.SessionTimeout(needs.Silence))
	}
	n := mysql.Named(cfg, opts...)
	b.Backend, b.Guard = n, n.Guard
	return b, nil
}

func onSQLite(path string, needs Needs) (*Backend, error) {
	// Transactions of the application wait for each other, and for the locks in the same file.
	file := "file:" + (&url.URL{Path: path}).EscapedPath() + "?_pragma=busy_timeout(10000)&_txlock=immediate"
	db, err := sql.Open("sqlite", file)
	if err != nil {
		return nil, err
	}
	t := sqlite.Table(path)
	return &Backend{Backend: t, DB: db, Options: ttl(needs), Guard: t.Guard}, nil
}

func ttl(needs Needs) []sqllock.ClientOption {
	if needs.Silence == 0 {
		return nil
	}
	return []sqllock.ClientOption{sqllock.TTL(needs.Silence)}
}
