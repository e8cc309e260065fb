package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"sync"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	migrations "github.com/sqllock/toolkit/migrations/sqlite"
	"github.com/sqllock/toolkit/sqllock"
)

// file is a database file as one Client has it open.
type file struct {
	path string

	mu      sync.Mutex
	closed  bool
	durable *sql.DB // what it commits is on the disk
	relaxed *sql.DB // what it commits is lost if the machine loses power, and with it every process that could mind
}

var errClosed = errors.New("sqlite: the lock client is closed")

// open opens the file if it is not yet, and makes the schema if there is none.
func (f *file) open(ctx context.Context) (durable, relaxed *sql.DB, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return nil, nil, errClosed
	}
	if f.durable != nil {
		return f.durable, f.relaxed, nil
	}
	if durable, err = sql.Open("sqlite", f.dsn("FULL")); err != nil {
		return nil, nil, explain(f.path, "open", err)
	}
	if err := prepare(ctx, durable); err != nil {
		_ = durable.Close()
		return nil, nil, explain(f.path, "open", err)
	}
	if relaxed, err = sql.Open("sqlite", f.dsn("NORMAL")); err != nil {
		_ = durable.Close()
		return nil, nil, explain(f.path, "open", err)
	}
	for _, db := range []*sql.DB{durable, relaxed} {
		db.SetConnMaxIdleTime(time.Minute)
	}
	f.durable, f.relaxed = durable, relaxed
	return durable, relaxed, nil
}

// dsn names the file to the driver. WAL, because it lets those who look work beside the one who writes; the busy timeout is
// short, because contexts bound the waiting instead.
func (f *file) dsn(synchronous string) string {
	q := url.Values{
		"_pragma": {"busy_timeout(20)", "journal_mode(WAL)", "synchronous(" + synchronous + ")"},
		"_txlock": {"immediate"},
	}
	return "file:" + (&url.URL{Path: f.path}).EscapedPath() + "?" + q.Encode()
}

func (f *file) close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	if f.durable == nil {
		return nil
	}
	return errors.Join(f.relaxed.Close(), f.durable.Close())
}

// schemaVersion is the version of the schema that this package was written for.
const schemaVersion = 1

// prepare makes the schema, and looks whether it fits.
func prepare(ctx context.Context, db *sql.DB) error {
	if err := migrations.Up(ctx, db); err != nil {
		return err
	}
	var version, oldestReader int64
	if err := db.QueryRowContext(ctx, statements["schema"]).Scan(&version, &oldestReader); err != nil {
		return err
	}
	if oldestReader > schemaVersion {
		return fmt.Errorf("%w: its tables are of version %d and need a newer build of this program; this one knows version %d",
			sqllock.ErrSchema, version, schemaVersion)
	}
	return nil
}

// write runs f in a transaction that has the file's write lock from the start, waiting for it until ctx ends. f may run again.
func write(ctx context.Context, db *sql.DB, f func(tx *sql.Tx) error) error {
	return retryBusy(ctx, func() error {
		tx, err := db.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		if err := f(tx); err != nil {
			_ = tx.Rollback()
			return err
		}
		return tx.Commit()
	})
}

// retryBusy repeats what another connection's lock prevents, until ctx ends.
func retryBusy(ctx context.Context, f func() error) error {
	for {
		err := f()
		if !busy(err) {
			return err
		}
		select {
		case <-time.After(time.Millisecond + time.Duration(rand.Int64N(int64(2*time.Millisecond)))):
		case <-ctx.Done():
			return fmt.Errorf("waiting for the file's write lock: %w: %w", context.Cause(ctx), err)
		}
	}
}

// busy tells whether another connection has the lock that a statement needs.
func busy(err error) bool {
	var e *sqlite.Error
	return errors.As(err, &e) && e.Code()&0xff == sqlite3.SQLITE_BUSY
}

// permanent tells whether trying again is pointless.
func permanent(err error) bool {
	if errors.Is(err, sqllock.ErrSchema) || errors.Is(err, sqllock.ErrInvalid) || errors.Is(err, errClosed) {
		return true
	}
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return false
	}
	switch e.Code() & 0xff {
	case sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_ERROR:
		return true
	}
	return false
}

func explain(path, doing string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("sqlite: %s: %s: %w", path, doing, err)
}
