package mysql_test

import (
	"context"
	"database/sql"
	"errors"
	"testing"
	"time"

	driver "github.com/go-sql-driver/mysql"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sqllock/toolkit/internal/testdb"
	"github.com/sqllock/toolkit/mysql"
	"github.com/sqllock/toolkit/sqllock"
)

// leaseholder is what one process that keeps leases would have.
type leaseholder struct {
	table  *mysql.TableBackend
	client *sqllock.Client
	db     *sql.DB // the application's
}

// tables is a fresh database with the toolkit's tables.
func tables(tb testing.TB) *driver.Config {
	tb.Helper()
	cfg := testdb.MySQL(tb)
	migrate(tb, cfg)
	return cfg
}

// lease makes another process. Its leases do not run out.
func lease(tb testing.TB, cfg *driver.Config, opts ...mysql.Option) leaseholder {
	tb.Helper()
	p := leaseholder{table: mysql.Table(cfg, opts...), db: connect(tb, cfg)}
	p.client = sqllock.New(p.table, sqllock.TTL(time.Hour))
	tb.Cleanup(func() {
		assert.NoError(tb, p.client.Close(context.Background()))
		assert.NoError(tb, p.table.Close(context.Background()))
	})
	return p
}

// begin begins a transaction of the application, which ends with the test at the latest.
func (p leaseholder) begin(tb testing.TB, level sql.IsolationLevel) *sql.Tx {
	tb.Helper()
	tx, err := p.db.BeginTx(tb.Context(), &sql.TxOptions{Isolation: level})
	require.NoError(tb, err)
	tb.Cleanup(func() { _ = tx.Rollback() })
	return tx
}

func (p leaseholder) exec(tb testing.TB, query string, args ...any) {
	tb.Helper()
	_, err := p.db.ExecContext(tb.Context(), query, args...)
	require.NoError(tb, err, query)
}

func (p leaseholder) int(tb testing.TB, query string, args ...any) (n int) {
	tb.Helper()
	require.NoError(tb, p.db.QueryRowContext(tb.Context(), query, args...).Scan(&n), query)
	return n
}

// dead leaves a holder of name behind whose process died without a word.
func (p leaseholder) dead(tb testing.TB, name, mode string) {
	tb.Helper()
	l, err := p.client.Acquire(tb.Context(), name) // so that the name is there
	require.NoError(tb, err)
	require.NoError(tb, l.Release(tb.Context()))
	p.exec(tb, `INSERT INTO sqllock_sessions (id, owner, epoch, opened_at, expires_at)
		SELECT -id, 'dead', 0, UTC_TIMESTAMP(6), UTC_TIMESTAMP(6) - INTERVAL 1 SECOND FROM sqllock_resources WHERE name = ?`, name)
	p.exec(tb, "UPDATE sqllock_resources SET token = token + 1 WHERE name = ?", name)
	p.exec(tb, `INSERT INTO sqllock_holders (resource, token, mode, permits, session, acquired_at)
		SELECT id, token, ?, 0, -id, UTC_TIMESTAMP(6) FROM sqllock_resources WHERE name = ?`, mode, name)
}

// handOver has b wait for what a holds, and a release it.
func handOver(t *testing.T, a, b leaseholder, name string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	held, err := a.client.Acquire(ctx, name)
	require.NoError(t, err)
	got := make(chan error, 1)
	go func() {
		next, err := b.client.Acquire(ctx, name)
		if err == nil {
			err = next.Release(ctx)
		}
		got <- err
	}()
	require.Eventually(t, func() bool {
		infos, err := a.client.Locks(ctx)
		return err == nil && len(infos) == 2 && infos[1].Waiting
	}, 10*time.Second, time.Millisecond)
	require.NoError(t, held.Release(ctx))
	require.NoError(t, <-got)
}

// awaitErr fails the test if nothing arrives.
func awaitErr(t *testing.T, what string, from <-chan error) error {
	t.Helper()
	select {
	case err := <-from:
		return err
	case <-time.After(20 * time.Second):
		return errors.New("not after 20s: " + what)
	}
}
