package postgres

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sqllock/toolkit/postgres/internal/advisory"
	"github.com/sqllock/toolkit/sqllock"
)

// LockTx locks name in the caller's transaction with pg_advisory_xact_lock, until that ends: released by its commit or rollback, and
// by nothing else. It excludes other LockTx and all session locks of the name. It waits until ctx ends; neither that nor a refusal
// hurts the transaction, whose lock_timeout stays as it was. A cancelled ctx is noticed within a second and a half.
//
// While it waits, in the server, the transaction has a snapshot, which keeps a CREATE INDEX CONCURRENTLY from completing: who
// guards such things uses Acquire. The end of the transaction notifies nobody, so those who wait for the name with Acquire may learn
// of it with their next poll only, a second later by default.
//
// The transaction must be READ COMMITTED: at a higher level its snapshot would be older than the lock, and it would read
// data from before the previous holder's commit. LockTx refuses that with [sqllock.ErrUnsupported]; [AdvisoryBackend.WithTx] does it right.
//
// The error matches [sqllock.ErrNotAcquired] when ctx ends, or [sqllock.ErrInvalid]; any other is of the database.
func (b *AdvisoryBackend) LockTx(ctx context.Context, tx pgx.Tx, name string) error {
	return b.lockTx(ctx, pgxTx{tx}, name)
}

// TryLockTx is [AdvisoryBackend.LockTx] without waiting: the error matches [sqllock.ErrNotAcquired] if the name is taken.
func (b *AdvisoryBackend) TryLockTx(ctx context.Context, tx pgx.Tx, name string) error {
	return b.tryLockTx(ctx, pgxTx{tx}, name)
}

// LockSQLTx is [AdvisoryBackend.LockTx] for database/sql.
func (b *AdvisoryBackend) LockSQLTx(ctx context.Context, tx *sql.Tx, name string) error {
	return b.lockTx(ctx, sqlTx{tx}, name)
}

// TryLockSQLTx is [AdvisoryBackend.TryLockTx] for database/sql.
func (b *AdvisoryBackend) TryLockSQLTx(ctx context.Context, tx *sql.Tx, name string) error {
	return b.tryLockTx(ctx, sqlTx{tx}, name)
}

func (b *AdvisoryBackend) lockTx(ctx context.Context, tx transaction, name string) error {
	return lockTx(ctx, b.opts.poll, func(timeout time.Duration) error {
		return b.attemptTx(ctx, tx, name, func(ctx context.Context) (bool, error) {
			before, err := readCommittedTx(ctx, tx, name)
			if err != nil {
				return false, err
			}
			if err := tx.exec(ctx, b.sql["patience"], milliseconds(timeout)); err != nil {
				return false, lockTxError(err)
			}
			locked, err := b.takeTx(ctx, tx, name, "advisory_tx_lock")
			if err != nil || !locked {
				return false, err
			}
			if err := tx.exec(ctx, b.sql["patience"], before); err != nil {
				return false, lockTxError(err)
			}
			return true, nil
		})
	})
}

func (b *AdvisoryBackend) tryLockTx(ctx context.Context, tx transaction, name string) error {
	return b.attemptTx(ctx, tx, name, func(ctx context.Context) (bool, error) {
		if _, err := readCommittedTx(ctx, tx, name); err != nil {
			return false, err
		}
		return b.takeTx(ctx, tx, name, "advisory_tx_try")
	})
}

func (b *AdvisoryBackend) attemptTx(ctx context.Context, tx transaction, name string, take func(ctx context.Context) (bool, error)) error {
	if b.opts.err != nil {
		return b.opts.err
	}
	return attemptTx(ctx, tx, name, func(ctx context.Context) error {
		locked, err := take(ctx)
		if err == nil && !locked {
			return &sqllock.HeldError{Name: name}
		}
		return err
	})
}

// takeTx takes the key, and then what former holders' guarded transactions hold.
func (b *AdvisoryBackend) takeTx(ctx context.Context, tx transaction, name, query string) (locked bool, err error) {
	key := b.key(name)
	barrier := advisory.Barrier(key)
	err = tx.row(ctx, b.sql[query], key, barrier[0], barrier[1]).Scan(&locked)
	if sqlState(err) == lockNotAvailable {
		return false, nil
	}
	if err != nil {
		return false, lockTxError(err)
	}
	return locked, nil
}

// WithTx runs fn in a transaction while name is locked: it acquires a session lock, then begins the transaction and guards it, and releases
// the lock after the commit. So at every isolation level the transaction reads what the previous holder committed, and
// it commits only if nobody else could have held the lock since. fn must not end the transaction. If fn returns an error or panics, the
// transaction is rolled back. Waiting holds no snapshot and no connection of the pool.
//
// All WithTx of this backend share one connection beside the pool's. Waiting is bounded by ctx, and the errors are those of
// [sqllock.Client.Acquire], of the database and of fn.
func (b *AdvisoryBackend) WithTx(ctx context.Context, name string, fn func(tx pgx.Tx) error) error {
	return b.WithTxOptions(ctx, name, pgx.TxOptions{}, fn)
}

// WithTxOptions is [AdvisoryBackend.WithTx] with options for the transaction, which may be read-only.
func (b *AdvisoryBackend) WithTxOptions(ctx context.Context, name string, opts pgx.TxOptions, fn func(tx pgx.Tx) error) error {
	return withTx(ctx, b, b.pool, name, opts, fn)
}

// WithSQLTx is [AdvisoryBackend.WithTx] for database/sql. db must be the database in which the locks are kept.
func (b *AdvisoryBackend) WithSQLTx(ctx context.Context, db *sql.DB, name string, opts *sql.TxOptions, fn func(tx *sql.Tx) error) error {
	return withSQLTx(ctx, b, db, name, opts, fn)
}

// Guard ties the caller's transaction to lock: after it has returned nil nobody else is granted the lock until the transaction ends,
// even if the session that holds it dies meanwhile. So what the transaction writes is committed while nobody else holds the lock, or not at
// all. Call it in the transaction, in the database in which the lock is held, before or after the writes. It costs one statement.
//
// The error matches [sqllock.ErrLost] or [sqllock.ErrReleased] if the lock is no longer held; then roll back. Any other error
// is of the database, and the transaction cannot commit after it.
func (b *AdvisoryBackend) Guard(ctx context.Context, tx pgx.Tx, lock *sqllock.Lock) error {
	return b.guard(ctx, pgxTx{tx}, lock)
}

// GuardSQL is [AdvisoryBackend.Guard] for database/sql.
func (b *AdvisoryBackend) GuardSQL(ctx context.Context, tx *sql.Tx, lock *sqllock.Lock) error {
	return b.guard(ctx, sqlTx{tx}, lock)
}

func (b *AdvisoryBackend) guard(ctx context.Context, tx transaction, lock *sqllock.Lock) error {
	if err := lock.Err(); err != nil {
		return err
	}
	hold, ok := lock.Hold().(*advisory.Hold)
	if !ok {
		return fmt.Errorf("%w: postgres: Guard of Advisory needs a lock of Advisory, %q is not", sqllock.ErrInvalid, lock.Name())
	}
	alive, err := b.closeBarriers(ctx, tx, hold)
	if err != nil {
		return b.explain(fmt.Sprintf("guard of %q", lock.Name()), err)
	}
	if !alive {
		return &sqllock.LostError{Name: lock.Name(), Reason: sqllock.ErrEvicted}
	}
	// The session lived, and held the key, after nobody could pass the barrier any more. It was this lock if we have it now.
	return lock.Err()
}

// closeBarriers keeps a lock from being granted to others until the transaction ends, and then tells whether its session lives.
func (b *AdvisoryBackend) closeBarriers(ctx context.Context, tx transaction, hold *advisory.Hold) (alive bool, err error) {
	barriers, session := hold.Barriers()
	pid, key := hold.Holder()
	err = tx.row(ctx, b.sql["advisory_guard"], barriers[0][0], barriers[0][1], barriers[1][0], barriers[1][1], barriers[2][0], barriers[2][1],
		session[0], session[1], pid, key).Scan(&alive)
	return alive, err
}
