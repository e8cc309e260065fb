package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/sqllock/toolkit/internal/lease"
	"github.com/sqllock/toolkit/sqllock"
)

// Guard ties the caller's transaction to lock: after it has returned nil the lock cannot change hands until the transaction ends. The
// transaction must be on the file in which the lock is kept. Guard takes the file's write lock, so nothing else in the file can be
// written meanwhile, renewals included: a transaction that lasts longer than a TTL costs every process its leases in this file.
//
// The error matches [sqllock.ErrLost] or [sqllock.ErrReleased] if the lock is no longer held; then roll back. Any other is of the
// database: SQLITE_BUSY if the write lock could not be had within the connection's busy timeout, or if the transaction has read before and the file
// has changed since.
func (t *TableBackend) Guard(ctx context.Context, sqlTx *sql.Tx, lock *sqllock.Lock) error {
	if err := lock.Err(); err != nil {
		return err
	}
	hold, ok := lock.Hold().(*lease.Hold)
	if !ok {
		return fmt.Errorf("%w: sqlite: Guard needs a lock of a Table, %q is not", sqllock.ErrInvalid, lock.Name())
	}
	q := tx{ctx, sqlTx}
	doing := fmt.Sprintf("guard of %q", lock.Name())
	if err := q.exec("write_lock"); err != nil {
		return explain(t.file.path, doing, err)
	}
	ref := hold.Ref()
	var held bool
	err := q.row("guard", ref.Resource, ref.Token, hold.Session(), hold.Mode() == sqllock.ModeExclusive).Scan(&held)
	if err != nil {
		return explain(t.file.path, doing, err)
	}
	if !held {
		hold.Doubt()
		return &sqllock.LostError{Name: lock.Name(), Reason: sqllock.ErrEvicted}
	}
	return lock.Err()
}

// LockTx locks name in the caller's transaction, until that ends: released by its commit or rollback, and by nothing else. It excludes
// other LockTx and all leases of the name.
//
// It takes the file's write lock, as any write of the transaction would, and waits for that as long as the connection's busy timeout says; but it does
// not wait for a lease that somebody holds, because its holder could not release it meanwhile: then the error matches
// [sqllock.ErrNotAcquired]. To wait, use [TableBackend.WithTx]. Other errors are those of [TableBackend.Guard].
func (t *TableBackend) LockTx(ctx context.Context, sqlTx *sql.Tx, name string) error {
	if t.opts.err != nil {
		return t.opts.err
	}
	if err := sqllock.CheckName(name); err != nil {
		return err
	}
	if err := context.Cause(ctx); err != nil {
		return fmt.Errorf("sqlite: lock %q was not asked for: %w", name, err)
	}
	// The driver rolls a transaction back whose context ends; this one is the caller's.
	err := t.lockTx(tx{context.WithoutCancel(ctx), sqlTx}, name)
	if errors.Is(err, sqllock.ErrNotAcquired) {
		return err
	}
	return explain(t.file.path, fmt.Sprintf("lock %q in transaction", name), err)
}

// TryLockTx is [TableBackend.LockTx]: in SQLite neither waits for leases.
func (t *TableBackend) TryLockTx(ctx context.Context, sqlTx *sql.Tx, name string) error {
	return t.LockTx(ctx, sqlTx, name)
}

func (t *TableBackend) lockTx(q tx, name string) error {
	if err := q.exec("seed", t.opts.namespace, name); err != nil {
		return err
	}
	if err := q.exec("write_lock"); err != nil {
		return err
	}
	w := lease.Want{Name: name}
	l, err := q.look(t.opts.namespace, w)
	if err == nil && l.dead > 0 {
		l, err = q.evict(t.opts.namespace, l, w)
	}
	if err != nil {
		return err
	}
	if l.held != (counts{}) {
		return &sqllock.HeldError{Name: name, Owner: l.owner, Expires: time.UnixMilli(l.ends)}
	}
	// A token is used up, so that the guard of an earlier holder fails.
	return q.exec("count", l.resource)
}

// WithTx runs fn in a transaction while name is locked: it acquires a lease, then begins the transaction and guards it, and releases the
// lease after the commit. So the transaction reads what the previous holder committed, and commits only if nobody else
// could have held the lock since. fn must not end the transaction, and should be short: see [TableBackend.Guard]. If fn returns an error or
// panics, the transaction is rolled back.
//
// Waiting is bounded by ctx, and the errors are those of [sqllock.Client.Acquire], of the database and of fn.
func (t *TableBackend) WithTx(ctx context.Context, name string, fn func(tx *sql.Tx) error) error {
	lock, err := t.withTxClient().Acquire(ctx, name)
	if err != nil {
		return err
	}
	// The transaction was guarded: what happens to the lease after its commit changes nothing any more.
	defer func() { _ = lock.Release(ctx) }()
	durable, _, err := t.file.open(ctx)
	if err != nil {
		return err
	}
	return t.guarded(ctx, durable, lock, fn)
}

// guarded waits for the file's write lock only at the beginning: fn runs once.
func (t *TableBackend) guarded(ctx context.Context, db *sql.DB, lock *sqllock.Lock, fn func(tx *sql.Tx) error) error {
	var began *sql.Tx
	err := retryBusy(ctx, func() (err error) {
		began, err = db.BeginTx(ctx, nil)
		return err
	})
	if err != nil {
		return explain(t.file.path, "begin", err)
	}
	defer func() { _ = began.Rollback() }() // does nothing after a commit
	if err := t.Guard(ctx, began, lock); err != nil {
		return err
	}
	if err := fn(began); err != nil {
		return err
	}
	return explain(t.file.path, "commit", began.Commit())
}

// withTxClient is made when it is first needed.
func (t *TableBackend) withTxClient() *sqllock.Client {
	t.once.Do(func() { t.client = sqllock.New(t) })
	return t.client
}
