package postgres_test

import (
	"context"
	"database/sql"
	"errors"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sqllock/toolkit/internal/testdb"
	"github.com/sqllock/toolkit/postgres"
	"github.com/sqllock/toolkit/sqllock"
)

func TestWithSQLTxHoldsTheLockUntilItsCommitAndReadsTheLastOne(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	dsn := testdb.Postgres(t)
	migrate(t, dsn)
	pool, err := pgxpool.New(ctx, dsn)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	table := postgres.Table(pool)
	other := sqllock.New(postgres.Table(pool))
	t.Cleanup(func() {
		assert.NoError(t, table.Close(context.Background()))
		assert.NoError(t, other.Close(context.Background()))
	})
	db := connect(t, dsn)
	_, err = db.ExecContext(ctx, "create table counter (n int not null); insert into counter values (0)")
	require.NoError(t, err)

	serializable := &sql.TxOptions{Isolation: sql.LevelSerializable}
	const goroutines, rounds = 4, 5
	ended := make(chan error, goroutines)
	for range goroutines {
		go func() {
			var failed error
			for range rounds {
				failed = errors.Join(failed, table.WithSQLTx(ctx, db, "n", serializable, func(tx *sql.Tx) error {
					if _, err := other.TryAcquire(ctx, "n"); !errors.Is(err, sqllock.ErrNotAcquired) {
						return errors.Join(errors.New("the lock is not held"), err)
					}
					// A snapshot older than the lock would make this a serialization failure.
					_, err := tx.ExecContext(ctx, "update counter set n = n + 1")
					return err
				}))
			}
			ended <- failed
		}()
	}
	for range goroutines {
		require.NoError(t, <-ended)
	}
	undone := errors.New("undone")
	err = table.WithSQLTx(ctx, db, "n", nil, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, "update counter set n = 0")
		return errors.Join(undone, err)
	})
	require.ErrorIs(t, err, undone)

	var n int
	require.NoError(t, db.QueryRowContext(ctx, "select n from counter").Scan(&n))
	require.Equal(t, goroutines*rounds, n)
	lock, err := other.TryAcquire(ctx, "n")
	require.NoError(t, err)
	require.NoError(t, lock.Release(ctx))
}
