package postgres_test

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/require"

	"github.com/sqllock/toolkit/internal/testdb"
	"github.com/sqllock/toolkit/postgres"
	"github.com/sqllock/toolkit/sqllock"
)

func TestMain(m *testing.M) { testdb.Main(m) }

func setup(t testing.TB) *pgxpool.Pool {
	dsn := testdb.Postgres(t)
	db, err := sql.Open("pgx", dsn)
	require.NoError(t, err)
	defer db.Close()
	b, _ := os.ReadFile("../migrations/postgres/0001_locks.up.sql")
	_, err = db.Exec(string(b))
	require.NoError(t, err)
	_, err = db.Exec("create table sqllock_schema_version(version bigint primary key, dirty boolean not null); insert into sqllock_schema_version values (1,false)")
	require.NoError(t, err)
	pool, err := pgxpool.New(context.Background(), dsn)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	return pool
}

func TestSmoke(t *testing.T) {
	ctx := context.Background()
	pool := setup(t)
	a := sqllock.New(postgres.Table(pool), sqllock.TTL(time.Second), sqllock.Owner("a"))
	b := sqllock.New(postgres.Table(pool), sqllock.TTL(time.Second), sqllock.Owner("b"))
	defer a.Close(ctx)
	defer b.Close(ctx)
	require.NoError(t, a.Ping(ctx))
	l, err := a.Acquire(ctx, "x")
	require.NoError(t, err)
	t.Log(l.Token(), l.Deadline())
	_, err = b.TryAcquire(ctx, "x")
	t.Log(err)
	require.ErrorIs(t, err, sqllock.ErrNotAcquired)
	got := make(chan *sqllock.Lock)
	go func() {
		l, err := b.Acquire(ctx, "x")
		if err != nil {
			t.Error(err)
		}
		got <- l
	}()
	require.Eventually(t, func() bool {
		i, err := a.Locks(ctx)
		require.NoError(t, err)
		return len(i) == 2
	}, 5*time.Second, 5*time.Millisecond)
	start := time.Now()
	require.NoError(t, l.Release(ctx))
	lb := <-got
	t.Log("handover", time.Since(start), lb.Token())
	require.NoError(t, lb.Verify(ctx))
	start = time.Now()
	require.NoError(t, a.ForceRelease(ctx, "x"))
	<-lb.Done()
	t.Log("forced", time.Since(start), lb.Err())
	require.True(t, errors.Is(lb.Err(), sqllock.ErrForced))
	for range 3 {
		start = time.Now()
		l, err = a.Acquire(ctx, "x")
		require.NoError(t, err)
		t.Log("acquire", time.Since(start))
		start = time.Now()
		require.NoError(t, l.Release(ctx))
		t.Log("release", time.Since(start))
	}
	time.Sleep(2 * time.Second)
}
