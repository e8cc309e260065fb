package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/sqllock/toolkit/postgres"
	"github.com/sqllock/toolkit/sqlite"
	"github.com/sqllock/toolkit/sqllock"
)

// dsnVariable holds the DSN. It is taken out of the environment that commands get.
const dsnVariable = "SQLLOCK_DSN"

// target is the database that the flags name.
type target struct {
	dsn     string
	dsnFile string
	schema  string

	secrets []string // what must not be shown
}

// The kinds of database, by the scheme of their DSN.
const (
	dialectPostgres = "postgres"
	dialectSQLite   = "sqlite"
)

// resolve finds the DSN and its dialect: --dsn, then --dsn-file, then the environment, then the default file.
func (t *target) resolve(warn func(string, ...any)) (dialect, dsn string, err error) {
	switch {
	case t.dsn != "" && t.dsnFile != "":
		return "", "", usage(errors.New("give either --dsn or --dsn-file"))
	case t.dsn != "":
		dsn = t.dsn
	case t.dsnFile != "":
		b, err := os.ReadFile(t.dsnFile)
		if err != nil {
			return "", "", usage(err)
		}
		dsn = strings.TrimSpace(string(b))
	case os.Getenv(dsnVariable) != "":
		dsn = os.Getenv(dsnVariable)
	default:
		dsn, err = defaultFile()
		return dialectSQLite, dsn, err
	}
	scheme, rest, ok := strings.Cut(dsn, ":")
	if !ok {
		return "", "", usage(errors.New("the DSN has no scheme; it begins with postgres:// or sqlite:"))
	}
	switch scheme {
	case "postgres", "postgresql":
		return dialectPostgres, dsn, t.keepSecret(dsn, warn)
	case "sqlite":
		path := strings.TrimPrefix(rest, "//")
		if path == "" {
			return "", "", usage(errors.New("the DSN sqlite: needs the path of a file"))
		}
		return dialectSQLite, path, nil
	default:
		return "", "", usage(fmt.Errorf("a DSN beginning with %.20q is not known; it begins with postgres:// or sqlite:", scheme+":"))
	}
}

// keepSecret notes the password in a URL. What cannot be read as a URL is not repeated in the error: it may hold one.
func (t *target) keepSecret(dsn string, warn func(string, ...any)) error {
	u, err := url.Parse(dsn)
	if err != nil {
		return usage(errors.New("the DSN is not a valid URL; special characters in the password must be percent-encoded"))
	}
	password, ok := u.User.Password()
	if !ok {
		password = u.Query().Get("password")
	}
	if password == "" {
		return nil
	}
	t.secrets = append(t.secrets, dsn, password, url.QueryEscape(password), url.PathEscape(password))
	if t.dsn != "" {
		warn("the password in --dsn can be seen by everybody with ps; use $%s, --dsn-file or ~/.pgpass", dsnVariable)
	}
	return nil
}

// redact blots out what must not be shown.
func (t *target) redact(s string) string {
	for _, secret := range t.secrets {
		s = strings.ReplaceAll(s, secret, "xxxxx")
	}
	return s
}

// defaultFile is the database of those who name none. Its directory is made.
func defaultFile() (string, error) {
	dir := os.Getenv("XDG_STATE_HOME")
	if dir == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", usage(fmt.Errorf("no DSN, and no directory for the default file: %w", err))
		}
		dir = filepath.Join(home, ".local", "state")
	}
	dir = filepath.Join(dir, "sqllock")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("directory for the default file: %w", err)
	}
	return filepath.Join(dir, "locks.db"), nil
}

// backend connects the flags to a backend.
func (t *target) backend(ctx context.Context, kind, namespace string, warn func(string, ...any)) (sqllock.Backend, func(), error) {
	dialect, dsn, err := t.resolve(warn)
	if err != nil {
		return nil, nil, err
	}
	if dialect == dialectSQLite {
		if kind != "" && kind != "table" {
			return nil, nil, usage(fmt.Errorf("--backend %s: SQLite has only table", kind))
		}
		return sqlite.Table(dsn, sqlite.Namespace(namespace)), func() {}, nil
	}
	switch kind {
	case "table":
	case "":
		return nil, nil, usage(errors.New("PostgreSQL has no default backend yet: give --backend table"))
	default:
		return nil, nil, usage(fmt.Errorf("--backend %s: PostgreSQL has only table", kind))
	}
	cfg, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		return nil, nil, usage(fmt.Errorf("the DSN cannot be used: %w", err))
	}
	cfg.MaxConns = 2 // of the pool, which only asks; the locks have connections of their own
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return nil, nil, err
	}
	return postgres.Table(pool, postgres.Namespace(namespace), postgres.Schema(t.schema)), pool.Close, nil
}
