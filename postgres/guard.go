package postgres

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/sqllock/toolkit/internal/lease"
	"github.com/sqllock/toolkit/sqllock"
)

// Guard ties the caller's transaction to lock: after it has returned nil the lock cannot change hands until the transaction ends,
// even if its lease runs out meanwhile. So what the transaction writes is committed while nobody else holds the lock, or not at all.
// Call it in the transaction, on the database in which the lock is kept, before or after the writes. Renewals are not blocked;
// those who want the lock wait.
//
// The error matches [sqllock.ErrLost] or [sqllock.ErrReleased] if the lock is no longer held or somebody else may have been granted it since; then
// roll back. Any other error is of the database, and the transaction cannot commit after it. In a REPEATABLE READ or
// SERIALIZABLE transaction that began before the lock was acquired it is a serialization failure (40001).
func (t *TableBackend) Guard(ctx context.Context, tx pgx.Tx, lock *sqllock.Lock) error {
	return t.guard(ctx, pgxTx{tx}, lock)
}

// GuardSQL is [TableBackend.Guard] for database/sql.
func (t *TableBackend) GuardSQL(ctx context.Context, tx *sql.Tx, lock *sqllock.Lock) error {
	return t.guard(ctx, sqlTx{tx}, lock)
}

func (t *TableBackend) guard(ctx context.Context, tx transaction, lock *sqllock.Lock) error {
	if err := lock.Err(); err != nil {
		return err
	}
	hold, ok := lock.Hold().(*lease.Hold)
	if !ok {
		return fmt.Errorf("%w: postgres: Guard of a Table needs a lock of a Table, %q is not", sqllock.ErrInvalid, lock.Name())
	}
	query := "guard_exclusive"
	if hold.Mode() != sqllock.ModeExclusive {
		query = "guard_holder"
	}
	ref := hold.Ref()
	var token int64
	var known bool
	err := tx.row(ctx, t.sql[query], ref.Resource, ref.Token, int64(hold.Session())).Scan(&token, &known)
	switch {
	case noRows(err):
		known = false
	case err != nil:
		return t.explain(fmt.Sprintf("guard of %q", lock.Name()), err)
	}
	if !known || token != ref.Token {
		hold.Doubt()
		return &sqllock.LostError{Name: lock.Name(), Reason: sqllock.ErrEvicted}
	}
	// The deadline may have passed while the statement waited. Nobody else has been granted the lock, but its holder may have been told.
	return lock.Err()
}
