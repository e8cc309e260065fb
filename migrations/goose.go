package migrations

import (
	"context"
	"database/sql"
	sqldriver "database/sql/driver"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/sqllock/toolkit/sqllock"
)

// GooseLocker satisfies lock.SessionLocker of github.com/pressly/goose/v3. Make one with [SessionLocker]. It is safe for concurrent use, by any
// number of providers.
type GooseLocker struct {
	locks *sqllock.Client
	name  string

	mu   sync.Mutex
	held map[*sql.Conn]*session
}

// session is a connection that migrates.
type session struct {
	lock  *sqllock.Lock
	ended chan struct{} // closed when the lock has ended and, if it was lost, so has the connection
}

// cutTimeout bounds what is waited for when a connection is cut.
const cutTimeout = 5 * time.Second

// SessionLocker lets a goose provider migrate under the lock of name:
//
//	goose.NewProvider(dialect, db, files, goose.WithSessionLocker(migrations.SessionLocker(locks, "migrations")))
//
// If the lock is lost, the connection on which the provider migrates is closed as soon as the statement under way has ended: what that transaction has
// done is rolled back, unless that statement was its COMMIT, and nothing else begins on that connection. Migrations written in Go that ask
// for a database instead of a transaction use others, and are not stopped. Where the provider's method is called by the application, [Guard] around
// it does more: goose heeds its context, which ends with the lock.
func SessionLocker(locks *sqllock.Client, name string) *GooseLocker {
	return &GooseLocker{locks: locks, name: name, held: make(map[*sql.Conn]*session)}
}

// SessionLock waits until the name is locked for conn, or ctx ends. conn itself takes no lock and waits for nothing. Errors are those of
// [sqllock.Client.Acquire].
func (g *GooseLocker) SessionLock(ctx context.Context, conn *sql.Conn) error {
	lock, err := g.locks.Acquire(ctx, g.name)
	if err != nil {
		return notLocked(err)
	}
	held := &session{lock: lock, ended: make(chan struct{})}
	g.mu.Lock()
	g.held[conn] = held
	g.mu.Unlock()
	go func() {
		defer close(held.ended)
		<-lock.Done()
		if !errors.Is(lock.Err(), sqllock.ErrReleased) {
			cut(conn)
		}
	}()
	return nil
}

// SessionUnlock releases what SessionLock has locked for conn. The error matches [sqllock.ErrLost] if that was gone before; others are those
// of [sqllock.Lock.Release].
func (g *GooseLocker) SessionUnlock(ctx context.Context, conn *sql.Conn) error {
	g.mu.Lock()
	held := g.held[conn]
	delete(g.held, conn)
	g.mu.Unlock()
	if held == nil {
		return fmt.Errorf("migrations: %q is not locked for this connection", g.name)
	}
	err := released(ctx, nil, held.lock)
	select {
	case <-held.ended: // before goose gives the connection back to its pool
	case <-time.After(cutTimeout):
	}
	if err != nil {
		return fmt.Errorf("migrations: the migrations may not all have run under the lock: %w", err)
	}
	return nil
}

// cut ends the connection under whoever uses it, between two statements. Close of a sql.Conn alone would wait for the transaction, which could commit.
func cut(conn *sql.Conn) {
	_ = conn.Raw(func(c any) error {
		ctx, cancel := context.WithTimeout(context.Background(), cutTimeout) // not before: a statement may have run for longer
		defer cancel()
		// SQLite's drivers may crash when they are used after Close, but there is a setting, which the others do not know.
		if c, ok := c.(sqldriver.ExecerContext); ok {
			if _, err := c.ExecContext(ctx, "PRAGMA query_only = ON", nil); err == nil {
				_, _ = c.ExecContext(ctx, "ROLLBACK", nil)
				return sqldriver.ErrBadConn
			}
		}
		if c, ok := c.(io.Closer); ok {
			_ = c.Close()
		}
		return sqldriver.ErrBadConn // so that no pool gives it out again
	})
}
