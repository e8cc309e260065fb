package postgres

import (
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/sqllock/toolkit/sqllock"
)

// SQLSTATEs, https://www.postgresql.org/docs/current/errcodes-appendix.html
const (
	serializationFailure  = "40001"
	deadlockDetected      = "40P01"
	lockNotAvailable      = "55P03"
	undefinedTable        = "42P01"
	undefinedColumn       = "42703"
	invalidSchemaName     = "3F000"
	insufficientPrivilege = "42501"
	outOfMemory           = "53200" // the lock table is full
)

func sqlState(err error) string {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return pg.Code
	}
	return ""
}

// during says whose error it is, and what makes room in the lock table, which all locks of the server share: those of rows need it too.
func during(doing string, err error) error {
	if sqlState(err) == outOfMemory {
		return fmt.Errorf("postgres: %s: %w: the server's lock table is full; raise max_locks_per_transaction, or hold fewer locks: %w", doing, sqllock.ErrTooMany, err)
	}
	return fmt.Errorf("postgres: %s: %w", doing, err)
}

// explain is during, and says what mends a missing schema.
func (t *TableBackend) explain(doing string, err error) error {
	if err == nil {
		return nil
	}
	switch sqlState(err) {
	case undefinedTable, undefinedColumn, invalidSchemaName:
		return fmt.Errorf("postgres: %s: %w: %w; run `sqllock migrate up` or migrations/postgres.Up for schema %s", doing, sqllock.ErrSchema, err, t.opts.schema)
	}
	return during(doing, err)
}

// permanent tells whether trying again is pointless.
func permanent(err error) bool {
	if errors.Is(err, sqllock.ErrSchema) || errors.Is(err, sqllock.ErrRefused) {
		return true
	}
	code := sqlState(err)
	return len(code) == 5 && (code[:2] == "42" || code[:2] == "28" || code[:2] == "22" || code[:2] == "0A" || code[:2] == "3D")
}
