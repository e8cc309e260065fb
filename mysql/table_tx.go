package mysql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/sqllock/toolkit/sqllock"
)

// LockTx locks name in the caller's transaction, until that ends: released by its commit or rollback, and by nothing else. It excludes
// other LockTx and all leases of the name. It waits until ctx ends; neither that nor a refusal hurts the transaction, nor leaves a lock in it, and
// innodb_lock_wait_timeout plays no part. Two transactions that lock two names in different orders wait for each other until ctx ends: give it
// a deadline.
//
// At REPEATABLE READ, the default, and SERIALIZABLE, lock first and read afterwards: the transaction sees data as they were when it first read
// any, and must not have done so before the previous holder's commit. [TableBackend.WithTx] does it right. With MariaDB's
// innodb_snapshot_isolation that is error 1020, and the server has rolled the transaction back; it can also come of two that lock the name
// at the same moment.
//
// The error matches [sqllock.ErrNotAcquired] when ctx ends, [sqllock.ErrInvalid], [sqllock.ErrSchema] or [sqllock.ErrRefused] where they
// apply. After any other, which is of the database, roll back.
func (t *TableBackend) LockTx(ctx context.Context, tx *sql.Tx, name string) error {
	for pause := 5 * time.Millisecond; ; pause = min(2*pause, t.opts.poll) {
		err := t.attemptTx(ctx, tx, name)
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

// TryLockTx is [TableBackend.LockTx] without waiting: the error matches [sqllock.ErrNotAcquired] if the name is taken.
func (t *TableBackend) TryLockTx(ctx context.Context, tx *sql.Tx, name string) error {
	var err error
	for range 4 {
		err = t.attemptTx(ctx, tx, name)
		var held *sqllock.HeldError
		if !errors.As(err, &held) || held.Detail == "" {
			return err
		}
		time.Sleep(2 * time.Millisecond) // others lock the row for about so long when they try to acquire
	}
	return err
}

// ownTimeout bounds what is done for a transaction on a connection of our own.
const ownTimeout = 5 * time.Second

func (t *TableBackend) attemptTx(ctx context.Context, tx *sql.Tx, name string) error {
	if t.opts.err != nil {
		return t.opts.err
	}
	if err := sqllock.CheckName(name); err != nil {
		return err
	}
	if err := context.Cause(ctx); err != nil {
		return fmt.Errorf("mysql: lock %q was not asked for: %w", name, err)
	}
	doing := fmt.Sprintf("lock %q in transaction", name)
	// What is on the wire when ctx ends would be cancelled by closing the connection, with the caller's transaction on it.
	a := txAttempt{TableBackend: t, ctx: context.WithoutCancel(ctx), tx: tx, name: name}
	own, cancel := context.WithTimeout(a.ctx, ownTimeout)
	defer cancel()
	p, err := t.ownPool(own)
	if err != nil {
		return err
	}
	for range 2 {
		err := p.use(own, func(conn *sql.Conn) error { return a.take(own, conn) })
		switch {
		case a.err != nil:
			return t.explainTx(doing, a.err)
		case a.locked && err == nil:
			_, err := tx.ExecContext(a.ctx, t.sql["tx_count"], a.resource.Int64)
			return t.explainTx(doing, err)
		case passing(err) && !a.locked:
			return &sqllock.HeldError{Name: name, Detail: "a transaction"}
		case err != nil:
			return t.explain(doing, err)
		case a.held != nil:
			return a.held
		}
		if err := t.seed(own, p, []string{name}); err != nil {
			return err
		}
	}
	return &sqllock.HeldError{Name: name, Detail: "a transaction"} // one that purged it as soon as it was seeded
}

// txAttempt is one attempt to lock a name in the caller's transaction. InnoDB would not give back a lock before the transaction ends, so the
// transaction takes none before it is known that it may have it.
type txAttempt struct {
	*TableBackend
	ctx  context.Context // of the caller's transaction
	tx   *sql.Tx
	name string

	resource sql.NullInt64
	held     *sqllock.HeldError
	locked   bool
	err      error // of the caller's transaction
}

// take keeps the name from being granted by a lock on our connection, evicts the dead and counts the rest. If nobody is left the caller's
// transaction locks the row. That our lock stood until then is what the commit shows: it fails if the connection was lost.
func (a *txAttempt) take(ctx context.Context, conn *sql.Conn) error {
	var lockable, holders int
	var owner *string
	var ends sql.NullInt64
	name := []any{a.namespace(), []byte(a.name)}
	look := append([]statement{{"tx_probe", name, into(&lockable)}, {name: "begin"}, {name: "tx_look", args: name}, {name: "tx_locked"}}, evicting...)
	look = append(look, statement{"tx_held", nil, into(&a.resource, &holders, &owner, &ends)})
	if err := a.send(ctx, conn, look); err != nil {
		return err
	}
	switch {
	case !a.resource.Valid: // yet
	case lockable == 0:
		a.held = &sqllock.HeldError{Name: a.name, Detail: "a transaction"}
	case holders > 0:
		a.held = &sqllock.HeldError{Name: a.name}
		if owner != nil {
			a.held.Owner = *owner
		}
		if ends.Valid {
			a.held.Expires = time.UnixMicro(ends.Int64)
		}
	default:
		err := a.tx.QueryRowContext(a.ctx, a.sql["tx_lock"], a.resource.Int64).Scan(new(int64))
		switch {
		case errors.Is(err, sql.ErrNoRows):
			a.held = &sqllock.HeldError{Name: a.name, Detail: "a transaction"}
		case err != nil:
			a.err = err
		default:
			a.locked = true
		}
	}
	return midway(a.send(ctx, conn, []statement{{name: "commit"}}))
}

// WithTx runs fn in a transaction while name is locked: it acquires a lease, then begins the transaction and guards it, and releases the
// lease after the commit. So at every isolation level the transaction reads what the previous holder committed, and
// it commits only if nobody else could have held the lock since. fn must not end the transaction. If fn returns an error or panics, the
// transaction is rolled back. The transaction is on a connection opened with the configuration that [Table] was given.
//
// Waiting is bounded by ctx, and the errors are those of [sqllock.Client.Acquire], of the database and of fn.
func (t *TableBackend) WithTx(ctx context.Context, name string, fn func(tx *sql.Tx) error) error {
	return t.WithTxOptions(ctx, name, nil, fn)
}

// WithTxOptions is [TableBackend.WithTx] with options for the transaction.
func (t *TableBackend) WithTxOptions(ctx context.Context, name string, opts *sql.TxOptions, fn func(tx *sql.Tx) error) error {
	lock, err := t.withTxClient().Acquire(ctx, name)
	if err != nil {
		return err
	}
	// The transaction was guarded: what happens to the lock after its commit changes nothing any more.
	defer func() { _ = lock.Release(ctx) }()
	db, err := t.appDB()
	if err != nil {
		return err
	}
	tx, err := db.BeginTx(ctx, opts)
	if err != nil {
		return fmt.Errorf("mysql: begin: %w", err)
	}
	defer func() { _ = tx.Rollback() }() // does nothing after a commit
	if err := t.Guard(ctx, tx, lock); err != nil {
		return err
	}
	if err := fn(tx); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("mysql: commit: %w", err)
	}
	return nil
}

// withTxClient is made when it is first needed.
func (t *TableBackend) withTxClient() *sqllock.Client {
	t.once.Do(func() { t.client = sqllock.New(t) })
	return t.client
}
