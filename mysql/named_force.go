package mysql

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/sqllock/toolkit/mysql/internal/named"
	"github.com/sqllock/toolkit/sqllock"
)

// forceLook is how often somebody who takes a lock by force looks whether it was given up.
const forceLook = 25 * time.Millisecond

// force asks the session that holds key to give it up, by user locks that it looks for when it pings, and waits until it has.
func (b *NamedBackend) force(ctx context.Context, key string) (err error) {
	defer func() {
		if cause := context.Cause(ctx); err != nil && cause != nil && !errors.Is(err, sqllock.ErrNotConfirmed) {
			err = fmt.Errorf("mysql: %w: %w", sqllock.ErrNotConfirmed, err)
		}
	}()
	db, err := b.db()
	if err != nil {
		return err
	}
	conn, err := db.Conn(ctx)
	if err != nil {
		return fmt.Errorf("mysql: force release: %w", err)
	}
	defer func() {
		wire, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseTimeout)
		defer cancel()
		if _, err := conn.ExecContext(wire, "DO RELEASE_ALL_LOCKS()"); err != nil {
			_ = conn.Raw(func(any) error { return driver.ErrBadConn })
		}
		_ = conn.Close()
	}()
	if err := b.suited(ctx, conn); err != nil {
		return err
	}
	token, err := b.tokenOf(ctx, conn, key)
	if err != nil {
		return fmt.Errorf("mysql: force release: %w", err)
	}
	var first sql.NullInt64
	for {
		var holder sql.NullInt64
		if err := conn.QueryRowContext(ctx, "SELECT IS_USED_LOCK('"+key+"')").Scan(&holder); err != nil {
			return fmt.Errorf("mysql: force release: %w", err)
		}
		if !first.Valid {
			first = holder
		}
		if !holder.Valid || holder != first {
			break
		}
		ask := "SELECT GET_LOCK('" + named.Forcing(key) + "', 0), GET_LOCK('" + named.Asking(uint64(holder.Int64)) + "', 0)"
		if err := conn.QueryRowContext(ctx, ask).Scan(new(sql.NullInt64), new(sql.NullInt64)); err != nil {
			return fmt.Errorf("mysql: force release: %w", err)
		}
		select {
		case <-time.After(forceLook):
		case <-ctx.Done():
			return fmt.Errorf("mysql: %w: session %d does not give up the lock; NamedBackend.Terminate ends it, with all that it holds: %w",
				sqllock.ErrNotConfirmed, holder.Int64, context.Cause(ctx))
		}
	}
	return b.retire(ctx, conn, key, token)
}

// tokenOf is the present token of a key, or 0.
func (b *NamedBackend) tokenOf(ctx context.Context, conn *sql.Conn, key string) (token int64, err error) {
	if !b.opts.named.tokens {
		return 0, nil
	}
	err = conn.QueryRowContext(ctx, "SELECT token FROM "+b.tokens()+" WHERE lock_key = ?", key).Scan(&token)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, nil
	}
	return token, err
}

// retire makes a token worthless, unless another has taken its place. It waits for transactions that are guarded with it.
func (b *NamedBackend) retire(ctx context.Context, conn *sql.Conn, key string, token int64) error {
	if token == 0 {
		return nil
	}
	for {
		_, err := conn.ExecContext(ctx, "UPDATE "+b.tokens()+" SET token = token + 1 WHERE lock_key = ? AND token = ?", key, token)
		switch {
		case err == nil:
			return nil
		case context.Cause(ctx) == nil && passing(err):
		default:
			return fmt.Errorf("mysql: force release: %w", err)
		}
	}
}

// Terminate ends the session that holds name, with KILL, and returns what else of this namespace it held, as far as [sqllock.Client.Locks] can
// tell: all of it is free then, not the one lock alone. It is for holders that do not answer a [sqllock.Client.ForceRelease]: processes that are
// stopped, programs that are not of this toolkit. Transactions that are guarded by such a lock go on, and the next holder's token waits for them.
//
// Sessions of the same user may be ended by everybody, others with the privilege CONNECTION_ADMIN
// (https://dev.mysql.com/doc/refman/en/kill.html). If it has not ended when ctx does, the error matches [sqllock.ErrNotConfirmed]. A name that
// nobody holds is no error.
func (b *NamedBackend) Terminate(ctx context.Context, name string) (freed []sqllock.LockInfo, err error) {
	if b.opts.err != nil {
		return nil, b.opts.err
	}
	if err := sqllock.CheckName(name); err != nil {
		return nil, err
	}
	db, err := b.db()
	if err != nil {
		return nil, err
	}
	infos, err := b.list(ctx, map[string]string{b.Key(name): name})
	if err != nil {
		return nil, err
	}
	var first sql.NullInt64
	for {
		var holder sql.NullInt64
		if err := db.QueryRowContext(ctx, "SELECT IS_USED_LOCK('"+b.Key(name)+"')").Scan(&holder); err != nil {
			return nil, fmt.Errorf("mysql: terminate: %w", err)
		}
		if !first.Valid && holder.Valid {
			// A number is not used again while the server runs, so this cannot hit anybody else.
			if _, err := db.ExecContext(ctx, "KILL CONNECTION "+strconv.FormatInt(holder.Int64, 10)); err != nil && number(err) != noSuchThread {
				return nil, fmt.Errorf("mysql: terminate: %w", err)
			}
		}
		if !first.Valid {
			first = holder
		}
		if !holder.Valid || holder != first {
			break
		}
		select {
		case <-time.After(forceLook):
		case <-ctx.Done():
			return nil, fmt.Errorf("mysql: terminate %q: %w: %w", name, sqllock.ErrNotConfirmed, context.Cause(ctx))
		}
	}
	for _, i := range infos {
		if i.PID == first.Int64 && !i.Waiting {
			freed = append(freed, i)
		}
	}
	return freed, nil
}
