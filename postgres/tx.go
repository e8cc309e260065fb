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

// LockTx locks name in the caller's transaction, until that ends: released by its commit or rollback, and by nothing else. It excludes
// other LockTx and all leases of the name. It waits until ctx ends; neither that nor a refusal hurts the transaction, whose lock_timeout
// stays as it was. A cancelled ctx is noticed within a second and a half.
//
// The transaction must be READ COMMITTED: at a higher level its snapshot would be older than the lock, and it would read
// data from before the previous holder's commit. LockTx refuses that with [sqllock.ErrUnsupported]; [TableBackend.WithTx] does it right.
//
// The error matches [sqllock.ErrNotAcquired] when ctx ends, [sqllock.ErrInvalid] or [sqllock.ErrSchema] where they apply; any other is
// of the database.
func (t *TableBackend) LockTx(ctx context.Context, tx pgx.Tx, name string) error {
	return t.lockTx(ctx, pgxTx{tx}, name)
}

// TryLockTx is [TableBackend.LockTx] without waiting: the error matches [sqllock.ErrNotAcquired] if the name is taken.
func (t *TableBackend) TryLockTx(ctx context.Context, tx pgx.Tx, name string) error {
	return t.tryLockTx(ctx, pgxTx{tx}, name)
}

// LockSQLTx is [TableBackend.LockTx] for database/sql.
func (t *TableBackend) LockSQLTx(ctx context.Context, tx *sql.Tx, name string) error {
	return t.lockTx(ctx, sqlTx{tx}, name)
}

// TryLockSQLTx is [TableBackend.TryLockTx] for database/sql.
func (t *TableBackend) TryLockSQLTx(ctx context.Context, tx *sql.Tx, name string) error {
	return t.tryLockTx(ctx, sqlTx{tx}, name)
}

func (t *TableBackend) lockTx(ctx context.Context, tx transaction, name string) error {
	// Longer than the server's deadlock_timeout, so that it finds deadlocks between LockTx in different orders.
	const slice = 1500 * time.Millisecond
	for pause := 5 * time.Millisecond; ; pause = min(2*pause, t.opts.poll) {
		timeout := slice
		if deadline, ok := ctx.Deadline(); ok {
			timeout = max(min(slice, time.Until(deadline)), time.Millisecond)
		}
		err := t.attemptTx(ctx, tx, name, "tx_lock", timeout)
		var held *sqllock.HeldError
		if !errors.As(err, &held) {
			return err
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			held.Cause = context.Cause(ctx)
			return held
		}
	}
}

func (t *TableBackend) tryLockTx(ctx context.Context, tx transaction, name string) error {
	return t.attemptTx(ctx, tx, name, "tx_try", time.Second)
}

// attemptTx makes one attempt inside a savepoint, so that a refusal gives back every row lock and every setting.
func (t *TableBackend) attemptTx(ctx context.Context, tx transaction, name, lock string, timeout time.Duration) error {
	if t.opts.err != nil {
		return t.opts.err
	}
	if err := sqllock.CheckName(name); err != nil {
		return err
	}
	if err := context.Cause(ctx); err != nil {
		return &sqllock.HeldError{Name: name, Cause: err}
	}
	// What is on the wire when ctx ends would be cancelled by closing the connection, with the caller's transaction on it.
	wire := context.WithoutCancel(ctx)
	if err := tx.exec(wire, "savepoint sqllock"); err != nil {
		return t.explain("lock in transaction", err)
	}
	err := t.takeTx(wire, tx, name, lock, timeout)
	if err != nil {
		if back := tx.exec(wire, "rollback to savepoint sqllock"); back != nil {
			return t.explain("lock in transaction", errors.Join(err, back))
		}
	}
	if release := tx.exec(wire, "release savepoint sqllock"); release != nil {
		return t.explain("lock in transaction", errors.Join(err, release))
	}
	return err
}

func (t *TableBackend) takeTx(ctx context.Context, tx transaction, name, lock string, timeout time.Duration) error {
	var before, isolation string
	ms := strconv.FormatInt(max(timeout.Milliseconds(), 1), 10)
	const settings = "select current_setting('lock_timeout'), current_setting('transaction_isolation')"
	if err := tx.row(ctx, settings).Scan(&before, &isolation); err != nil {
		return t.explain("lock in transaction", err)
	}
	if isolation != "read committed" && isolation != "read uncommitted" {
		return fmt.Errorf("postgres: %w: locking %q inside a %s transaction, whose snapshot would be older than the lock; use WithTx, or begin it READ COMMITTED",
			sqllock.ErrUnsupported, name, strings.ToUpper(isolation))
	}
	if err := tx.exec(ctx, t.sql["patience"], ms); err != nil {
		return t.explain("lock in transaction", err)
	}
	locked, err := t.lockResource(ctx, tx, name, lock)
	if err != nil {
		return err
	}
	if !locked {
		return &sqllock.HeldError{Name: name, Detail: "a transaction"}
	}
	held, err := t.grantTx(ctx, tx, name)
	if held != nil && err == nil { // perhaps by the dead
		for _, evict := range []string{"evict_sessions", "evict_holders"} {
			if err := tx.exec(ctx, t.sql[evict]); err != nil {
				return t.explain("lock in transaction", err)
			}
		}
		held, err = t.grantTx(ctx, tx, name)
	}
	if err != nil {
		return err
	}
	if held != nil {
		return held
	}
	return t.explain("lock in transaction", tx.exec(ctx, t.sql["patience"], before))
}

// lockResource locks the row of name, which is made first if it is missing.
func (t *TableBackend) lockResource(ctx context.Context, tx transaction, name, lock string) (bool, error) {
	var id *string
	err := tx.row(ctx, t.sql[lock], t.opts.namespace, name).Scan(&id)
	if noRows(err) {
		// Not inside the caller's transaction: every other seeder of the name would wait for its end.
		seeding, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		seed := t.seeder.use(seeding, func(pg *pgx.Conn) error {
			return pgx.BeginTxFunc(seeding, pg, readCommitted, func(tx pgx.Tx) error {
				_, err := tx.Exec(seeding, t.sql["seed"], t.opts.namespace, []string{name})
				return err
			})
		})
		if seed != nil {
			return false, t.explain("seed", seed)
		}
		err = tx.row(ctx, t.sql[lock], t.opts.namespace, name).Scan(&id)
	}
	switch {
	case noRows(err) || sqlState(err) == lockNotAvailable:
		return false, nil
	case err != nil:
		return false, t.explain("lock in transaction", err)
	}
	return id != nil, nil
}

// grantTx takes the locked resource if nobody holds it; else it says who does.
func (t *TableBackend) grantTx(ctx context.Context, tx transaction, name string) (*sqllock.HeldError, error) {
	var token *int64
	var owner string
	var expires *time.Time
	if err := tx.row(ctx, t.sql["tx_take"]).Scan(&token, &owner, &expires); err != nil {
		return nil, t.explain("lock in transaction", err)
	}
	if token != nil {
		return nil, nil
	}
	held := &sqllock.HeldError{Name: name, Owner: owner}
	if expires != nil {
		held.Expires = *expires
	}
	return held, nil
}

// WithTx runs fn in a transaction while name is locked: it acquires a lease, then begins the transaction and guards it, and releases the
// lease after the commit. So at every isolation level the transaction reads what the previous holder committed, and
// it commits only if nobody else could have held the lock since. fn must not end the transaction. If fn returns an error or panics, the
// transaction is rolled back.
//
// Waiting is bounded by ctx, and the errors are those of [sqllock.Client.Acquire], of the database and of fn.
func (t *TableBackend) WithTx(ctx context.Context, name string, fn func(tx pgx.Tx) error) error {
	return t.WithTxOptions(ctx, name, pgx.TxOptions{}, fn)
}

// WithTxOptions is [TableBackend.WithTx] with options for the transaction. It cannot be read-only, whatever the role's default: its guard
// locks a row.
func (t *TableBackend) WithTxOptions(ctx context.Context, name string, opts pgx.TxOptions, fn func(tx pgx.Tx) error) error {
	lock, err := t.withTxClient().Acquire(ctx, name)
	if err != nil {
		return err
	}
	// The transaction was guarded: what happens to the lease after its commit changes nothing any more.
	defer func() { _ = lock.Release(ctx) }()
	if opts.AccessMode == "" {
		opts.AccessMode = pgx.ReadWrite
	}
	return pgx.BeginTxFunc(ctx, t.pool, opts, func(tx pgx.Tx) error {
		if err := t.Guard(ctx, tx, lock); err != nil {
			return err
		}
		return fn(tx)
	})
}

// withTxClient is made when it is first needed.
func (t *TableBackend) withTxClient() *sqllock.Client {
	t.once.Do(func() { t.client = sqllock.New(t) })
	return t.client
}

// WithSQLTx is [TableBackend.WithTx] for database/sql. db must be the database in which the locks are kept, and
// the transaction must not be read-only, by opts or by the role's default: its guard locks a row.
func (t *TableBackend) WithSQLTx(ctx context.Context, db *sql.DB, name string, opts *sql.TxOptions, fn func(tx *sql.Tx) error) error {
	lock, err := t.withTxClient().Acquire(ctx, name)
	if err != nil {
		return err
	}
	defer func() { _ = lock.Release(ctx) }() // as in WithTxOptions
	tx, err := db.BeginTx(ctx, opts)
	if err != nil {
		return t.explain("begin", err)
	}
	defer func() { _ = tx.Rollback() }() // does nothing after a commit
	if err := t.GuardSQL(ctx, tx, lock); err != nil {
		return err
	}
	if err := fn(tx); err != nil {
		return err
	}
	return t.explain("commit", tx.Commit())
}
