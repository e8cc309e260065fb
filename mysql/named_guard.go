package mysql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/sqllock/toolkit/mysql/internal/named"
	"github.com/sqllock/toolkit/sqllock"
)

// Guard makes the transaction's commit depend on the lock: it fails if lock is not held any more or somebody else has been granted it since, and
// from its return to the end of the transaction nobody is granted it. It needs [WithTokens], and a transaction on the server that keeps
// the locks: it locks the row of the name's token for sharing, which the next holder has to raise first.
//
// The error matches [sqllock.ErrLost] if the lock is lost, [sqllock.ErrReleased] if it was released, [sqllock.ErrUnsupported] without
// WithTokens and [sqllock.ErrInvalid] if lock is of another backend; any other is of the database. After an error roll back.
func (b *NamedBackend) Guard(ctx context.Context, tx *sql.Tx, lock *sqllock.Lock) error {
	if b.opts.err != nil {
		return b.opts.err
	}
	if !b.opts.named.tokens {
		return fmt.Errorf("mysql: %w: guarding a transaction with a session lock needs WithTokens; use that, a Table, or NamedBackend.WithTx",
			sqllock.ErrUnsupported)
	}
	h, ok := lock.Hold().(*named.Hold)
	if !ok {
		return fmt.Errorf("%w: mysql: the lock %q is not of a Named backend", sqllock.ErrInvalid, lock.Name())
	}
	key := h.Key()
	if key != b.Key(lock.Name()) {
		return fmt.Errorf("%w: mysql: the lock %q is of another namespace", sqllock.ErrInvalid, lock.Name())
	}
	if err := lock.Err(); err != nil {
		return err
	}
	var token int64
	var held sql.NullBool
	err := tx.QueryRowContext(ctx, "SELECT token, IS_USED_LOCK(?) = IS_USED_LOCK(?) FROM "+b.tokens()+" WHERE lock_key = ? LOCK IN SHARE MODE",
		key, h.Marker(), key).Scan(&token, &held)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return fmt.Errorf("%w: mysql: the transaction is not in the database in which the tokens of %q are kept", sqllock.ErrInvalid, lock.Name())
	case err != nil:
		return fmt.Errorf("mysql: guard %q: %w", lock.Name(), err)
	case token < lock.Token():
		return fmt.Errorf("%w: mysql: the transaction is in another database than that in which the tokens of %q are kept", sqllock.ErrInvalid, lock.Name())
	case token != lock.Token(), !held.Bool:
		h.Doubt()
		return &sqllock.LostError{Name: lock.Name(), Reason: sqllock.ErrEvicted}
	}
	// What has happened while the statement ran: from here on nobody can be granted the lock.
	return lock.Err()
}
