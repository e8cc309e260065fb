package locktest

import (
	"context"
	"database/sql"
	"testing"

	"github.com/sqllock/toolkit/sqllock"
)

// Subject is a backend under test, and what the suite needs to look at it from outside. Fields without a remark are required.
//
// Run calls Fresh and Hang in the test process. Everything else is also called in helper processes, which know
// nothing but a DSN: the functions must not refer to what the test has set up before.
type Subject struct {
	// Fresh makes an empty database with the toolkit's schema, gone when tb ends, and returns how Backend and DB find it.
	Fresh func(tb testing.TB) (dsn string)

	// Backend makes a backend with connections of its own, as another process would. It does no I/O that could fail because the
	// database is away. The Clients made of it are closed before close is called.
	Backend func(dsn string) (b sqllock.Backend, close func(), err error)

	// DB is the application's own access to the same database. Where the database knows one writer at a time it waits for its
	// turn. The suite's own statements are plain enough for all: no placeholders, no RETURNING, INTEGER and BIGINT columns.
	DB func(dsn string) (*sql.DB, error)

	// Unreachable is a DSN where no database answers, and says so at once: a closed port, a directory that is not there.
	Unreachable string

	// Hang makes a database as Fresh does that can be stopped: after pause it neither answers nor refuses, until
	// resume. Nil: there is no server that could hang.
	Hang func(tb testing.TB) (dsn string, pause, resume func())

	// Sever ends all other connections to the database, as an administrator or a proxy may. Nil: there are no connections.
	Sever func(tb testing.TB, dsn string)

	// CountChanges counts from now on the rows that are inserted, updated or deleted in the toolkit's tables. The
	// function returned tells how many by table, those without a change left out. Nil: the backend keeps locks in no table.
	CountChanges func(tb testing.TB, dsn string) (changes func() map[string]int)

	// Purge removes all names that nobody holds or waits for now, whenever they were last used. Nil: the backend keeps none.
	Purge func(ctx context.Context, b sqllock.Backend) error

	// Guard is the backend's guard. Nil: it has none.
	Guard func(ctx context.Context, b sqllock.Backend, tx *sql.Tx, lock *sqllock.Lock) error

	// LockTx and TryLockTx lock a name in the caller's transaction. Nil, both: the backend cannot.
	LockTx    func(ctx context.Context, b sqllock.Backend, tx *sql.Tx, name string) error
	TryLockTx func(ctx context.Context, b sqllock.Backend, tx *sql.Tx, name string) error

	// LockTxLevel is the isolation level of the transactions that LockTx and TryLockTx get.
	LockTxLevel sql.IsolationLevel

	// WithTx runs fn in a transaction of the given level while name is locked. Nil: the backend cannot.
	WithTx func(ctx context.Context, b sqllock.Backend, name string, level sql.IsolationLevel, fn func(Tx) error) error

	// WithTxLevels are the levels that WithTx offers.
	WithTxLevels []sql.IsolationLevel

	// OneWriter says that an open transaction that writes keeps all others in the database from writing: then attempts fail or wait while a
	// guard is open, and renewals too, so that the lease of a guard that is open for longer ends with it.
	OneWriter bool
}

// Tx is what the suite does in a transaction of [Subject.WithTx], whatever the backend calls one.
type Tx interface {
	Exec(ctx context.Context, query string) error
	Int(ctx context.Context, query string) (int64, error)
}

// SQLTx is the Tx of backends whose WithTx hands out a *sql.Tx.
type SQLTx struct{ *sql.Tx }

// Exec implements [Tx].
func (t SQLTx) Exec(ctx context.Context, query string) error {
	_, err := t.ExecContext(ctx, query)
	return err
}

// Int implements [Tx].
func (t SQLTx) Int(ctx context.Context, query string) (n int64, err error) {
	err = t.QueryRowContext(ctx, query).Scan(&n)
	return n, err
}
