package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/sqllock/toolkit/sqllock"
)

// transaction is what pgx.Tx and *sql.Tx have in common, so that a user's transaction of either kind will do. Only scalar
// parameters are used: the *sql.Tx may be of any PostgreSQL driver.
type transaction interface {
	exec(ctx context.Context, query string, args ...any) error
	row(ctx context.Context, query string, args ...any) interface{ Scan(...any) error }
}

type pgxTx struct{ tx pgx.Tx }

func (t pgxTx) exec(ctx context.Context, query string, args ...any) error {
	_, err := t.tx.Exec(ctx, query, args...)
	return err
}

func (t pgxTx) row(ctx context.Context, query string, args ...any) interface{ Scan(...any) error } {
	return t.tx.QueryRow(ctx, query, args...)
}

type sqlTx struct{ tx *sql.Tx }

func (t sqlTx) exec(ctx context.Context, query string, args ...any) error {
	_, err := t.tx.ExecContext(ctx, query, args...)
	return err
}

func (t sqlTx) row(ctx context.Context, query string, args ...any) interface{ Scan(...any) error } {
	return t.tx.QueryRowContext(ctx, query, args...)
}

func noRows(err error) bool { return errors.Is(err, pgx.ErrNoRows) || errors.Is(err, sql.ErrNoRows) }

// lockTx makes attempts, each of which may wait in the server for so long, until one succeeds or ctx ends.
func lockTx(ctx context.Context, longest time.Duration, attempt func(timeout time.Duration) error) error {
	// Longer than the server's deadlock_timeout, so that it finds deadlocks between LockTx in different orders.
	const slice = 1500 * time.Millisecond
	for pause := 5 * time.Millisecond; ; pause = min(2*pause, longest) {
		timeout := slice
		if deadline, ok := ctx.Deadline(); ok {
			timeout = max(min(slice, time.Until(deadline)), time.Millisecond)
		}
		err := attempt(timeout)
		var held *sqllock.HeldError
		if !errors.As(err, &held) {
			return err
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
		if held.Cause = context.Cause(ctx); held.Cause != nil {
			return held
		}
	}
}

// attemptTx makes one attempt inside a savepoint, so that a refusal gives back every lock and every setting.
func attemptTx(ctx context.Context, tx transaction, name string, take func(ctx context.Context) error) error {
	if err := sqllock.CheckName(name); err != nil {
		return err
	}
	if err := context.Cause(ctx); err != nil {
		return fmt.Errorf("postgres: lock %q was not asked for: %w", name, err)
	}
	// What is on the wire when ctx ends would be cancelled by closing the connection, with the caller's transaction on it.
	wire := context.WithoutCancel(ctx)
	if err := tx.exec(wire, "savepoint sqllock"); err != nil {
		return lockTxError(err)
	}
	err := take(wire)
	if err != nil {
		if back := tx.exec(wire, "rollback to savepoint sqllock"); back != nil {
			return lockTxError(errors.Join(err, back))
		}
	}
	if release := tx.exec(wire, "release savepoint sqllock"); release != nil {
		return lockTxError(errors.Join(err, release))
	}
	return err
}

func lockTxError(err error) error { return during("lock in transaction", err) }

// readCommittedTx refuses a transaction whose snapshot would be older than a lock taken in it, and returns its lock_timeout.
func readCommittedTx(ctx context.Context, tx transaction, name string) (lockTimeout string, err error) {
	var isolation string
	const settings = "select current_setting('lock_timeout'), current_setting('transaction_isolation')"
	if err := tx.row(ctx, settings).Scan(&lockTimeout, &isolation); err != nil {
		return "", lockTxError(err)
	}
	if isolation != "read committed" && isolation != "read uncommitted" {
		return "", fmt.Errorf("postgres: %w: locking %q inside a %s transaction, whose snapshot would be older than the lock; use WithTx, or begin it READ COMMITTED",
			sqllock.ErrUnsupported, name, strings.ToUpper(isolation))
	}
	return lockTimeout, nil
}

func milliseconds(d time.Duration) string { return strconv.FormatInt(max(d.Milliseconds(), 1), 10) }

// guarding is a backend that locks a name, begins a transaction and guards it.
type guarding interface {
	withTxClient() *sqllock.Client
	Guard(ctx context.Context, tx pgx.Tx, lock *sqllock.Lock) error
	GuardSQL(ctx context.Context, tx *sql.Tx, lock *sqllock.Lock) error
}

func withTx(ctx context.Context, b guarding, pool *pgxpool.Pool, name string, opts pgx.TxOptions, fn func(tx pgx.Tx) error) error {
	lock, err := b.withTxClient().Acquire(ctx, name)
	if err != nil {
		return err
	}
	// The transaction was guarded: what happens to the lock after its commit changes nothing any more.
	defer func() { _ = lock.Release(ctx) }()
	return pgx.BeginTxFunc(ctx, pool, opts, func(tx pgx.Tx) error {
		if err := b.Guard(ctx, tx, lock); err != nil {
			return err
		}
		return fn(tx)
	})
}

func withSQLTx(ctx context.Context, b guarding, db *sql.DB, name string, opts *sql.TxOptions, fn func(tx *sql.Tx) error) error {
	lock, err := b.withTxClient().Acquire(ctx, name)
	if err != nil {
		return err
	}
	defer func() { _ = lock.Release(ctx) }() // as in withTx
	tx, err := db.BeginTx(ctx, opts)
	if err != nil {
		return fmt.Errorf("postgres: begin: %w", err)
	}
	defer func() { _ = tx.Rollback() }() // does nothing after a commit
	if err := b.GuardSQL(ctx, tx, lock); err != nil {
		return err
	}
	if err := fn(tx); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("postgres: commit: %w", err)
	}
	return nil
}
