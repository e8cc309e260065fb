package mysql

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"io"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sqllock/toolkit/internal/lease"
)

// TestLockTxIsNotBegunAgainOnceItHasLooked kills the connection that has kept a name from being granted, after it found the name free. Somebody is
// granted a lease then, which the second look would take for the lock of the caller's own transaction.
func TestLockTxIsNotBegunAgainOnceItHasLooked(t *testing.T) {
	const resource = int64(7)
	own := scripted(t, func(conn int, packet string) ([]result, error) {
		switch {
		case packet == "COMMIT" && conn == 1:
			return nil, driver.ErrBadConn
		case packet == "COMMIT":
			return nil, nil
		case conn == 1:
			return []result{{int64(1)}, {resource, int64(0), nil, nil}}, nil
		}
		return []result{{int64(0)}, {resource, int64(1), "another", int64(1)}}, nil
	})
	app := scripted(t, func(int, string) ([]result, error) { return []result{{resource}}, nil })
	table := &TableBackend{opts: newOptions(nil), sql: load("app"), own: &pool{own}}
	table.fits.Store(true)
	tx, err := app.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	require.Error(t, table.TryLockTx(t.Context(), tx, "n"))
}

// TestGaleraBatchIsNotBegunAgainOnceItWasCommitted resets the connection between a grant's commit and its answer. Begun again, the attempt would
// find the name held, by its own session, and nobody would know of the grant.
func TestGaleraBatchIsNotBegunAgainOnceItWasCommitted(t *testing.T) {
	var commits atomic.Int32
	own := scripted(t, func(conn int, packet string) ([]result, error) {
		switch {
		case packet == "COMMIT":
			commits.Add(1)
		case strings.HasPrefix(packet, "SELECT @session IS NOT NULL"):
			if conn == 1 {
				return nil, driver.ErrBadConn
			}
			return []result{{int64(1), int64(0), int64(7), int64(2)}}, nil
		case strings.HasPrefix(packet, "SELECT w.n"):
			return []result{{int64(0), "held", "ourselves", nil, nil, int64(1)}}, nil
		}
		return nil, nil
	})
	table := &TableBackend{opts: newOptions(nil), sql: load("app")}
	table.galera.Store(true)
	s := &store{TableBackend: table, pool: pool{own}}
	_, err := s.Acquire(t.Context(), lease.Batch{Session: 1, Wants: []lease.Want{{Name: "n"}}})
	require.Error(t, err, "so that it is reconciled")
	require.EqualValues(t, 1, commits.Load())
}

// result is a set of one row.
type result []driver.Value

// scripted is a database whose connections, numbered from 1, answer as told.
func scripted(t *testing.T, answer func(conn int, packet string) ([]result, error)) *sql.DB {
	var conns atomic.Int32
	db := sql.OpenDB(dialer(func() driver.Conn {
		n := int(conns.Add(1))
		return scriptedConn{func(packet string) ([]result, error) { return answer(n, packet) }}
	}))
	t.Cleanup(func() { _ = db.Close() })
	return db
}

type dialer func() driver.Conn

func (d dialer) Connect(context.Context) (driver.Conn, error) { return d(), nil }
func (d dialer) Driver() driver.Driver                        { return nil }

type scriptedConn struct {
	answer func(packet string) ([]result, error)
}

func (c scriptedConn) Prepare(string) (driver.Stmt, error)      { return nil, driver.ErrSkip }
func (c scriptedConn) Close() error                             { return nil }
func (c scriptedConn) Begin() (driver.Tx, error)                { return c, nil }
func (c scriptedConn) Commit() error                            { return nil }
func (c scriptedConn) Rollback() error                          { return nil }
func (c scriptedConn) CheckNamedValue(*driver.NamedValue) error { return nil }
func (c scriptedConn) ExecContext(context.Context, string, []driver.NamedValue) (driver.Result, error) {
	return driver.RowsAffected(1), nil
}

func (c scriptedConn) QueryContext(_ context.Context, packet string, _ []driver.NamedValue) (driver.Rows, error) {
	results, err := c.answer(packet)
	if err != nil {
		return nil, err
	}
	return &scriptedRows{results: results}, nil
}

type scriptedRows struct {
	results []result
	read    bool
}

func (r *scriptedRows) Columns() []string {
	if len(r.results) == 0 {
		return nil
	}
	return make([]string, len(r.results[0]))
}

func (r *scriptedRows) Next(to []driver.Value) error {
	if r.read || len(r.results) == 0 {
		return io.EOF
	}
	r.read = true
	copy(to, r.results[0])
	return nil
}

func (r *scriptedRows) HasNextResultSet() bool { return len(r.results) > 1 }

func (r *scriptedRows) NextResultSet() error {
	if len(r.results) <= 1 {
		return io.EOF
	}
	r.results, r.read = r.results[1:], false
	return nil
}

func (r *scriptedRows) Close() error { return nil }
