package mysql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/sqllock/toolkit/internal/lease"
	"github.com/sqllock/toolkit/sqllock"
)

// Guard ties the caller's transaction to lock: after it has returned nil the lock cannot change hands until the transaction ends,
// even if its lease runs out meanwhile. So what the transaction writes is committed while nobody else holds the lock, or not at all.
// Call it in the transaction, on the server in which the lock is kept, before or after the writes. Renewals are not blocked;
// those who want the lock wait.
//
// The error matches [sqllock.ErrLost] or [sqllock.ErrReleased] if the lock is no longer held or somebody else may have been granted it since; then
// roll back at once. Any other error is of the database, and the transaction must not be committed after it. With MariaDB's
// innodb_snapshot_isolation, in a REPEATABLE READ transaction that has read before the lock was acquired, it is error 1020, and the server
// has rolled the transaction back.
//
// On a node of a Galera cluster nobody waits for the transaction on other nodes: it fails when it is committed, or before, with error 1213, if
// somebody else was granted the lock. There, two transactions that are guarded by one lock wait for each other.
func (t *TableBackend) Guard(ctx context.Context, tx *sql.Tx, lock *sqllock.Lock) error {
	if err := lock.Err(); err != nil {
		return err
	}
	hold, ok := lock.Hold().(*lease.Hold)
	if !ok {
		return fmt.Errorf("%w: mysql: Guard of a Table needs a lock of a Table, %q is not", sqllock.ErrInvalid, lock.Name())
	}
	// What is on the wire when ctx ends would be cancelled by closing the connection, with the caller's transaction on it.
	held, err := t.guard(context.WithoutCancel(ctx), tx, hold)
	if err != nil {
		return t.explainTx(fmt.Sprintf("guard of %q", lock.Name()), err)
	}
	if !held {
		hold.Doubt()
		return &sqllock.LostError{Name: lock.Name(), Reason: sqllock.ErrEvicted}
	}
	// The deadline may have passed while the statement waited. Nobody else has been granted the lock, but its holder may have been told.
	return lock.Err()
}

func (t *TableBackend) guard(ctx context.Context, tx *sql.Tx, hold *lease.Hold) (held bool, err error) {
	ref, session := hold.Ref(), int64(hold.Session())
	if t.galera.Load() {
		if err := t.mark(ctx, tx, hold); err != nil {
			return false, err
		}
	}
	if hold.Mode() == sqllock.ModeExclusive {
		var token int64
		err := tx.QueryRowContext(ctx, t.sql["guard_exclusive"], ref.Token, session, ref.Resource).Scan(&token, &held)
		switch {
		case errors.Is(err, sql.ErrNoRows):
			return false, nil
		case err != nil || held || token != ref.Token:
			return held && token == ref.Token, err
		}
		// Another database, or a snapshot from before the lock was acquired: only the latest version of the holder's row tells.
	}
	err = tx.QueryRowContext(ctx, t.sql["guard_holder"], ref.Resource, ref.Token, session).Scan(new(int64))
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return err == nil, err
}

// mark changes what the guard is about to lock.
func (t *TableBackend) mark(ctx context.Context, tx *sql.Tx, hold *lease.Hold) error {
	ref := hold.Ref()
	if hold.Mode() == sqllock.ModeExclusive {
		_, err := tx.ExecContext(ctx, t.sql["guard_mark"], ref.Resource)
		return err
	}
	_, err := tx.ExecContext(ctx, t.sql["guard_mark_holder"], ref.Resource, ref.Token)
	return err
}
