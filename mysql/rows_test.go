package mysql_test

import (
	"context"
	"database/sql"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sqllock/toolkit/internal/lease/leasetest"
	"github.com/sqllock/toolkit/mysql"
	"github.com/sqllock/toolkit/sqllock"
)

func TestRows(t *testing.T) {
	leasetest.Run(t, func(t *testing.T) leasetest.Table {
		cfg := tables(t)
		return leasetest.Table{DB: connect(t, cfg), Backend: func(namespace string) sqllock.Backend {
			b := mysql.Table(cfg, mysql.Namespace(namespace))
			t.Cleanup(func() { _ = b.Close(context.Background()) })
			return b
		}}
	})
}

// At REPEATABLE READ a transaction goes on seeing a holder that is gone. What the guard goes by is the latest version of the row that it locks.
func TestGuardOfAFormerHolderFailsDespiteItsSnapshot(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	cfg := tables(t)
	db, b := connect(t, cfg), mysql.Table(cfg)
	t.Cleanup(func() { _ = b.Close(context.Background()) })
	for name, takes := range map[string]func() error{
		"lease": func() error {
			_, err := holderOf(t, b, "next").TryAcquire(ctx, "lease")
			return err
		},
		"transaction": func() error {
			tx, err := db.BeginTx(ctx, nil)
			require.NoError(t, err)
			if err := b.TryLockTx(ctx, tx, "transaction"); err != nil {
				return err
			}
			return tx.Commit()
		},
	} {
		l, err := holderOf(t, b, "former").TryAcquire(ctx, name)
		require.NoError(t, err)
		tx, err := db.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelRepeatableRead})
		require.NoError(t, err)
		require.NoError(t, tx.QueryRowContext(ctx, "SELECT COUNT(*) FROM sqllock_holders").Scan(new(int)))
		_, err = db.ExecContext(ctx, "UPDATE sqllock_sessions SET expires_at = opened_at WHERE owner = 'former'")
		require.NoError(t, err)
		require.NoError(t, takes(), name)
		require.NoError(t, l.Err(), "it does not know")
		assert.Error(t, b.Guard(ctx, tx, l), name)
		require.NoError(t, tx.Rollback())
	}
}

func holderOf(t *testing.T, b sqllock.Backend, owner string) *sqllock.Client {
	t.Helper()
	c := sqllock.New(b, sqllock.Owner(owner), sqllock.TTL(time.Hour))
	t.Cleanup(func() { assert.NoError(t, c.Close(context.Background())) })
	return c
}
