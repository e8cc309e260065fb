package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/spf13/pflag"

	"github.com/sqllock/toolkit/mysql"
	"github.com/sqllock/toolkit/postgres"
	"github.com/sqllock/toolkit/sqlite"
	"github.com/sqllock/toolkit/sqllock"
)

// dsnVariable holds the DSN. It is taken out of the environment that commands get.
const dsnVariable = "SQLLOCK_DSN"

// target is what the flags say about where the locks are.
type target struct {
	flags     *pflag.FlagSet
	dsn       string
	dsnFile   string
	schema    string
	namespace string
}

func (t *target) register(flags *pflag.FlagSet) {
	t.flags = flags
	flags.StringVar(&t.dsn, "dsn", "", "database: postgres://…, mysql://… or sqlite:PATH (default $"+dsnVariable+", else a SQLite file in the state directory)")
	flags.StringVar(&t.dsnFile, "dsn-file", "", "file that holds the DSN")
	flags.StringVar(&t.schema, "schema", "public", "PostgreSQL schema of the toolkit's tables, where there are any")
	flags.StringVar(&t.namespace, "namespace", "", "namespace of the lock's name")
}

// database finds the database: --dsn or --dsn-file, else the environment, else the default file. Whoever names a database and fails
// to gets an error and never the default: locks in a file of one's own exclude nobody.
func (t *target) database(warn func(string, ...any)) (database, error) {
	if t.flags.Changed("dsn") && t.flags.Changed("dsn-file") {
		return database{}, usage(errors.New("--dsn and --dsn-file exclude each other"))
	}
	dsn, from := t.dsn, "--dsn"
	if t.flags.Changed("dsn-file") {
		text, err := os.ReadFile(t.dsnFile)
		if err != nil {
			return database{}, usage(fmt.Errorf("--dsn-file: %w", err))
		}
		dsn, from = strings.TrimSpace(string(text)), "the file of --dsn-file"
	} else if !t.flags.Changed("dsn") {
		inherited, ok := os.LookupEnv(dsnVariable)
		if !ok {
			return defaultFile()
		}
		dsn, from = inherited, "$"+dsnVariable
	}
	if dsn == "" {
		return database{}, usage(fmt.Errorf("%s is empty", from))
	}
	db, err := parseDSN(dsn)
	if err == nil && db.secret && t.flags.Changed("dsn") {
		warn("a password in --dsn can be seen by everybody with ps; use $%s, --dsn-file or, for PostgreSQL, ~/.pgpass", dsnVariable)
	}
	if err == nil && db.file != "" {
		if _, err := os.Stat(filepath.Dir(db.file)); err != nil { // SQLite's own message is no help
			return database{}, fmt.Errorf("the directory of the SQLite file: %w", err)
		}
	}
	return db, err
}

// defaultFile is the database of those who name none. Its directory is made.
func defaultFile() (database, error) {
	dir := os.Getenv("XDG_STATE_HOME")
	if !filepath.IsAbs(dir) { // such a one must be ignored, says the specification
		home, err := os.UserHomeDir()
		if err != nil {
			return database{}, usage(fmt.Errorf("no DSN, and no home directory for the default file: %w", err))
		}
		dir = filepath.Join(home, ".local", "state")
	}
	dir = filepath.Join(dir, "sqllock")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return database{}, fmt.Errorf("no DSN, and no directory for the default file: %w", err)
	}
	return database{dialect: dialectSQLite, file: filepath.Join(dir, "locks.db")}, nil
}

// The kinds of backend.
const (
	kindAdvisory = "advisory"
	kindNamed    = "named"
	kindTable    = "table"
)

// sessionTimeout is how long a server keeps the locks of a session from which it hears nothing. With --ttl's default the bounds of
// --kill-after are those of session locks too: after 8/15 the holder gives up, and a third later its command is dead, 2/15 before anybody
// else can have the lock.
const sessionTimeout = sqllock.DefaultTTL

// backend makes the backend of the given kind in the database. It does no I/O.
func (t *target) backend(ctx context.Context, db database, kind string) (_ sqllock.Backend, disconnect func(), err error) {
	switch db.dialect {
	case dialectSQLite:
		if err := oneOf(kind, "SQLite", kindTable); err != nil {
			return nil, nil, err
		}
		return sqlite.Table(db.file, sqlite.Namespace(t.namespace)), func() {}, nil
	case dialectMySQL:
		if err := oneOf(kind, "MySQL", kindNamed, kindTable); err != nil {
			return nil, nil, err
		}
		b, disconnect := t.onMySQL(db, kind)
		return b, disconnect, nil
	default:
		if err := oneOf(kind, "PostgreSQL", kindAdvisory, kindTable); err != nil {
			return nil, nil, err
		}
		return t.onPostgres(ctx, db, kind)
	}
}

// oneOf checks the kind of a backend. The default is the first.
func oneOf(kind, server string, kinds ...string) error {
	if kind == "" || slices.Contains(kinds, kind) {
		return nil
	}
	return usage(fmt.Errorf("--backend %s: %s has only %s", kind, server, strings.Join(kinds, " and ")))
}

func (t *target) onPostgres(ctx context.Context, db database, kind string) (sqllock.Backend, func(), error) {
	pool, err := pgxpool.NewWithConfig(ctx, db.postgres)
	if err != nil {
		return nil, nil, err
	}
	opts := []postgres.Option{postgres.Namespace(t.namespace), postgres.Schema(t.schema)}
	if kind == kindTable {
		return postgres.Table(pool, opts...), pool.Close, nil
	}
	return postgres.Advisory(pool, append(opts, postgres.SessionTimeout(sessionTimeout))...), pool.Close, nil
}

func (t *target) onMySQL(db database, kind string) (sqllock.Backend, func()) {
	if kind == kindTable {
		b := mysql.Table(db.mysql, mysql.Namespace(t.namespace))
		return b, func() { _ = b.Close(context.Background()) }
	}
	b := mysql.Named(db.mysql, mysql.Namespace(t.namespace), mysql.SessionTimeout(sessionTimeout))
	return b, func() { _ = b.Close(context.Background()) }
}
