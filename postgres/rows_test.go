package postgres_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sqllock/toolkit/internal/lease/leasetest"
	"github.com/sqllock/toolkit/internal/testdb"
	"github.com/sqllock/toolkit/postgres"
	"github.com/sqllock/toolkit/sqllock"
)

func TestRows(t *testing.T) {
	leasetest.Run(t, func(t *testing.T) leasetest.Table {
		dsn := testdb.Postgres(t)
		migrate(t, dsn)
		pool := poolAt(t, dsn)
		db := stdlib.OpenDBFromPool(pool)
		t.Cleanup(func() { _ = db.Close() })
		return leasetest.Table{DB: db, Backend: func(namespace string) sqllock.Backend {
			return postgres.Table(pool, postgres.Namespace(namespace))
		}}
	})
}

// What was released while a waiter had no connection to listen on was told to nobody.
func TestReleaseWhileNobodyListensIsSeenByWhoListensAgain(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	dsn := testdb.Postgres(t)
	migrate(t, dsn)
	cfg, err := pgxpool.ParseConfig(dsn)
	require.NoError(t, err)
	var connections atomic.Int32
	released := make(chan struct{})
	cfg.BeforeConnect = func(ctx context.Context, _ *pgx.ConnConfig) error {
		if connections.Add(1) > 1 { // all but the one that acquires
			select {
			case <-released:
			case <-ctx.Done():
			}
		}
		return ctx.Err()
	}
	deaf, err := pgxpool.NewWithConfig(ctx, cfg)
	require.NoError(t, err)
	t.Cleanup(deaf.Close)
	holder := sqllock.New(postgres.Table(poolAt(t, dsn)), sqllock.TTL(time.Hour))
	waiter := sqllock.New(postgres.Table(deaf, postgres.Poll(time.Minute)), sqllock.TTL(time.Hour))
	t.Cleanup(func() {
		assert.NoError(t, errors.Join(holder.Close(context.Background()), waiter.Close(context.Background())))
	})

	held, err := holder.Acquire(ctx, "n")
	require.NoError(t, err)
	got := make(chan error, 1)
	go func() {
		_, err := waiter.Acquire(ctx, "n")
		got <- err
	}()
	require.Eventually(t, func() bool {
		infos, err := holder.Locks(ctx)
		require.NoError(t, err)
		return len(infos) == 2
	}, 10*time.Second, time.Millisecond)
	require.NoError(t, held.Release(ctx))
	close(released)
	select {
	case err := <-got:
		assert.NoError(t, err)
	case <-time.After(20 * time.Second):
		assert.Fail(t, "the waiter sleeps although the lock is free")
	}
}

// Where thousands wait for one name, each release would otherwise have all of them try.
func TestReleaseNotifiesTheFirstInLineOnly(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	a, b, pool := pair(t, postgres.Poll(time.Minute))
	c := sqllock.New(postgres.Table(pool, postgres.Poll(time.Minute)), sqllock.TTL(time.Hour))
	t.Cleanup(func() { assert.NoError(t, c.Close(context.Background())) })
	held, err := a.Acquire(ctx, "n")
	require.NoError(t, err)
	got := make(chan *sqllock.Lock, 2)
	for i, waiter := range []*sqllock.Client{b, c} {
		go func() {
			l, err := waiter.Acquire(ctx, "n")
			assert.NoError(t, err)
			got <- l
		}()
		require.Eventually(t, func() bool {
			infos, err := a.Locks(ctx)
			require.NoError(t, err)
			return len(infos) == i+2
		}, 10*time.Second, time.Millisecond)
	}
	ear, err := pool.Acquire(ctx)
	require.NoError(t, err)
	defer ear.Release()
	rows, err := ear.Query(ctx, "SELECT 'sqllock_' || session FROM sqllock_waiters ORDER BY id")
	require.NoError(t, err)
	channels, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	require.Len(t, channels, 2)
	for _, channel := range append(channels, "that_is_all") {
		_, err := ear.Exec(ctx, "LISTEN "+channel)
		require.NoError(t, err)
	}

	require.NoError(t, held.Release(ctx))
	first := <-got
	_, err = ear.Exec(ctx, "NOTIFY that_is_all")
	require.NoError(t, err)
	var heard []string
	for {
		n, err := ear.Conn().WaitForNotification(ctx)
		require.NoError(t, err)
		if n.Channel == "that_is_all" {
			break
		}
		heard = append(heard, n.Channel)
	}
	assert.Equal(t, channels[:1], heard)
	_, err = ear.Exec(ctx, "UNLISTEN *")
	require.NoError(t, err)
	require.NoError(t, first.Release(ctx))
	require.NoError(t, (<-got).Release(ctx))
}
