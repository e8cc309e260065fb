package advisory

import (
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/sqllock/toolkit/sqllock"
)

// SQLSTATEs, https://www.postgresql.org/docs/current/errcodes-appendix.html
const (
	outOfMemory          = "53200" // the lock table is full
	lockNotAvailable     = "55P03"
	queryCanceled        = "57014" // also by statement_timeout
	duplicateStatement   = "42P05"
	invalidStatementName = "26000"
)

func sqlState(err error) string {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		return ""
	}
	return pg.Code
}

// explain says what to do about an error of the server.
func explain(doing string, err error) error {
	var pg *pgconn.PgError
	if errors.As(err, &pg) && pg.Code == outOfMemory {
		return fmt.Errorf("postgres: %w: the server's lock table is full; raise max_locks_per_transaction, or hold fewer locks: %w", sqllock.ErrTooMany, err)
	}
	return fmt.Errorf("postgres: %s: %w", doing, err)
}

// permanent tells whether waiting on is pointless.
func permanent(err error) bool {
	for _, sentinel := range []error{sqllock.ErrTooMany, sqllock.ErrRefused, sqllock.ErrSchema, sqllock.ErrUnsupported, sqllock.ErrClosed} {
		if errors.Is(err, sentinel) {
			return true
		}
	}
	var pg *pgconn.PgError
	if !errors.As(err, &pg) || len(pg.Code) != 5 {
		return false
	}
	switch pg.Code[:2] {
	case "42", "28", "22", "0A", "3D":
		return true
	}
	return false
}
