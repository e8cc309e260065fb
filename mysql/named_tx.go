package mysql

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/sqllock/toolkit/sqllock"
)

// WithTx runs fn in a transaction while name is locked. The lock is taken on the transaction's own connection, before it begins, and released
// after the commit: so at every isolation level the transaction reads what the previous holder committed, and if the connection ends, the
// transaction is rolled back before the lock is free. It costs one connection, of those that this backend opens itself, and nothing
// pings it: like every transaction it is the server's wait_timeout that ends it when its process is stopped.
//
// fn must not end the transaction. If fn returns an error or panics, the transaction is rolled back. Waiting is bounded by ctx, and the errors
// are [sqllock.ErrNotAcquired] when that ends, those of the database and those of fn.
func (b *NamedBackend) WithTx(ctx context.Context, name string, fn func(tx *sql.Tx) error) error {
	return b.WithTxOptions(ctx, name, nil, fn)
}

// WithTxOptions is [NamedBackend.WithTx] with options for the transaction.
func (b *NamedBackend) WithTxOptions(ctx context.Context, name string, opts *sql.TxOptions, fn func(tx *sql.Tx) error) error {
	if b.opts.err != nil {
		return b.opts.err
	}
	if err := sqllock.CheckName(name); err != nil {
		return err
	}
	db, err := b.db()
	if err != nil {
		return err
	}
	conn, err := db.Conn(ctx)
	if err != nil {
		return fmt.Errorf("mysql: connect: %w", err)
	}
	defer func() {
		// A connection of which it is not certain that it holds nothing goes with what it holds.
		wire, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseTimeout)
		defer cancel()
		if _, err := conn.ExecContext(wire, "DO RELEASE_ALL_LOCKS()"); err != nil {
			_ = conn.Raw(func(any) error { return driver.ErrBadConn })
		}
		_ = conn.Close()
	}()
	if err := b.lockConn(ctx, conn, name); err != nil {
		return err
	}
	if err := b.outdate(ctx, conn, name); err != nil {
		return err
	}
	tx, err := conn.BeginTx(ctx, opts)
	if err != nil {
		return fmt.Errorf("mysql: begin: %w", err)
	}
	committed := false
	defer func() {
		if committed {
			return
		}
		if err := tx.Rollback(); err != nil { // ErrTxDone too: then database/sql is about to, because ctx has ended, and has perhaps not yet
			_ = conn.Raw(func(any) error { return driver.ErrBadConn })
		}
	}()
	if err := fn(tx); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		// The transaction may still be open, and must not outlive the lock.
		_ = conn.Raw(func(any) error { return driver.ErrBadConn })
		if cause := context.Cause(ctx); cause != nil && errors.Is(err, sql.ErrTxDone) {
			err = cause // that is who has rolled it back
		}
		return fmt.Errorf("mysql: commit: %w", err)
	}
	committed = true
	return nil
}

// outdate waits for transactions that a former holder has guarded, and fails those that come too late: where there are tokens, a new holder raises
// them. It has to, because they are what Guard compares, and locks.
func (b *NamedBackend) outdate(ctx context.Context, conn *sql.Conn, name string) error {
	if !b.opts.named.tokens {
		return nil
	}
	for {
		_, err := conn.ExecContext(ctx, "UPDATE "+b.tokens()+" SET token = token + 1 WHERE lock_key = ?", b.Key(name))
		switch {
		case err == nil:
			return nil
		case context.Cause(ctx) != nil:
			return &sqllock.HeldError{Name: name, Detail: "a transaction that a former holder has guarded", Cause: context.Cause(ctx)}
		case !passing(err):
			return fmt.Errorf("mysql: lock %q: %w", name, err)
		}
	}
}

// releaseTimeout bounds a release whose caller's context has ended.
const releaseTimeout = 5 * time.Second

// lockConn waits in the server until conn has the lock. When ctx ends the driver closes the connection, which holds nothing else.
func (b *NamedBackend) lockConn(ctx context.Context, conn *sql.Conn, name string) error {
	if err := b.suited(ctx, conn); err != nil {
		return err
	}
	const patience = time.Hour
	wait := patience
	if b.cfg.ReadTimeout > 0 {
		wait = b.cfg.ReadTimeout / 2
	}
	seconds := int(wait / time.Second) // MySQL knows no fractions
	get := "SELECT GET_LOCK('" + b.Key(name) + "', " + strconv.Itoa(seconds) + ")"
	for {
		var got sql.NullBool
		err := conn.QueryRowContext(ctx, get).Scan(&got)
		switch {
		case err == nil && got.Bool:
			return nil
		case context.Cause(ctx) != nil:
			return &sqllock.HeldError{Name: name, Cause: context.Cause(ctx)}
		case err == nil && got.Valid, interrupted(err), err == nil:
			// It has waited for as long as one statement may, or somebody has ended the statement. Whether it was granted at that moment does not
			// matter: RELEASE_LOCK then gives up the one grant, and not the session's others.
			if _, err := conn.ExecContext(ctx, "DO RELEASE_LOCK('"+b.Key(name)+"')"); err != nil {
				return fmt.Errorf("mysql: lock %q: %w", name, err)
			}
			if seconds == 0 { // it may not wait in the server
				select {
				case <-time.After(b.opts.poll):
				case <-ctx.Done():
				}
			}
		default:
			return fmt.Errorf("mysql: lock %q: %w", name, err)
		}
	}
}
