package postgres

import (
	"context"
	"database/sql"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sqllock/toolkit/sqllock"
)

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
	return lockTx(ctx, t.opts.poll, func(timeout time.Duration) error { return t.attemptTx(ctx, tx, name, "tx_lock", timeout) })
}

func (t *TableBackend) tryLockTx(ctx context.Context, tx transaction, name string) error {
	return t.attemptTx(ctx, tx, name, "tx_try", time.Second)
}

func (t *TableBackend) attemptTx(ctx context.Context, tx transaction, name, lock string, timeout time.Duration) error {
	if t.opts.err != nil {
		return t.opts.err
	}
	return attemptTx(ctx, tx, name, func(ctx context.Context) error { return t.takeTx(ctx, tx, name, lock, timeout) })
}

func (t *TableBackend) takeTx(ctx context.Context, tx transaction, name, lock string, timeout time.Duration) error {
	before, err := readCommittedTx(ctx, tx, name)
	if err != nil {
		return err
	}
	if err := tx.exec(ctx, t.sql["patience"], milliseconds(timeout)); err != nil {
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
	if opts.AccessMode == "" {
		opts.AccessMode = pgx.ReadWrite
	}
	return withTx(ctx, t, t.pool, name, opts, fn)
}

// withTxClient is made when it is first needed.
func (t *TableBackend) withTxClient() *sqllock.Client {
	t.once.Do(func() { t.client = sqllock.New(t) })
	return t.client
}

// WithSQLTx is [TableBackend.WithTx] for database/sql. db must be the database in which the locks are kept, and
// the transaction must not be read-only, by opts or by the role's default: its guard locks a row.
func (t *TableBackend) WithSQLTx(ctx context.Context, db *sql.DB, name string, opts *sql.TxOptions, fn func(tx *sql.Tx) error) error {
	return withSQLTx(ctx, t, db, name, opts, fn)
}
