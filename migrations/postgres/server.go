package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/sqllock/toolkit/migrations/internal/lockschema"
)

// lockKey is the advisory lock that excludes migrators; the package comment says how it is derived.
const lockKey int64 = 5018683233816539059

// errHeld says that somebody else has the lock.
var errHeld = errors.New("another session holds the advisory lock of the migrations")

// server is PostgreSQL as lockschema sees it.
type server struct{ schema string }

var _ lockschema.Database = server{}

func (s server) VersionTable() string { return quote(s.schema) + "." + lockschema.VersionTable }

func (s server) Busy(err error) bool { return errors.Is(err, errHeld) }

func (s server) NoTable(err error) bool { return sqlState(err) == "42P01" }

func (s server) Begin(ctx context.Context, conn *sql.Conn) error {
	// Under the other isolation levels the attempt at the lock takes the snapshot, and the version read after it could be
	// that of before.
	if _, err := conn.ExecContext(ctx, "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"); err != nil {
		return err
	}
	var locked bool
	if err := conn.QueryRowContext(ctx, fmt.Sprintf("SELECT pg_try_advisory_xact_lock(%d)", lockKey)).Scan(&locked); err != nil {
		return err
	}
	if !locked {
		if _, err := conn.ExecContext(ctx, "ROLLBACK"); err != nil {
			return err
		}
		return errHeld
	}
	if _, err := conn.ExecContext(ctx, settings); err != nil {
		return err
	}
	return s.enter(ctx, conn)
}

// settings hold until the end of the transaction. What limits requests of users by default must not stop a migration: ctx
// does. And a server that is busy with a statement must notice that its client was killed, or it would go on with the
// statement, and hold the lock. Through pg_settings, because not every version and system has them all.
const settings = `
	SELECT count(set_config(name, CASE name WHEN 'client_connection_check_interval' THEN '1s' ELSE '0' END, true))
	FROM pg_settings
	WHERE name IN ('statement_timeout', 'lock_timeout', 'idle_in_transaction_session_timeout', 'transaction_timeout')
	   OR name = 'client_connection_check_interval' AND version() LIKE '%linux%'`

// enter makes unqualified names mean those in the schema.
func (s server) enter(ctx context.Context, conn *sql.Conn) error {
	var exists bool
	err := conn.QueryRowContext(ctx, "SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1::text)", s.schema).Scan(&exists)
	if err != nil {
		return err
	}
	if !exists {
		return fmt.Errorf("schema %q does not exist in this database: CREATE SCHEMA %s first, or name another one with Schema",
			s.schema, quote(s.schema))
	}
	// Temporary tables would come first if they were not named last.
	_, err = conn.ExecContext(ctx, "SET LOCAL search_path TO "+quote(s.schema)+", pg_temp")
	return err
}

func quote(identifier string) string {
	return `"` + strings.ReplaceAll(identifier, `"`, `""`) + `"`
}
