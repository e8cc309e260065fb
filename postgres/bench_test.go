package postgres_test

import (
	"context"
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/require"

	"github.com/sqllock/toolkit/internal/testdb"
	migrations "github.com/sqllock/toolkit/migrations/postgres"
	"github.com/sqllock/toolkit/postgres"
	"github.com/sqllock/toolkit/sqllock"
)

// durablePool connects to a server with the durability that PostgreSQL has by default: what leases cost is compared with commits.
func durablePool(b *testing.B, conns int32, settings ...string) *pgxpool.Pool {
	server := testdb.StartPostgres(b, append(settings, "fsync=on", "synchronous_commit=on", "full_page_writes=on")...)
	cfg, err := pgxpool.ParseConfig(server.DSN())
	require.NoError(b, err)
	cfg.MaxConns = conns
	pool, err := pgxpool.NewWithConfig(b.Context(), cfg)
	require.NoError(b, err)
	b.Cleanup(pool.Close)
	db := stdlib.OpenDBFromPool(pool)
	defer func() { require.NoError(b, db.Close()) }()
	require.NoError(b, migrations.Up(b.Context(), db))
	_, err = pool.Exec(b.Context(), "create table commits (id int primary key, n int not null); insert into commits select g, 0 from generate_series(0, 1023) g")
	require.NoError(b, err)
	return pool
}

// commit is the floor: the smallest transaction that is durable.
func commit(ctx context.Context, pool *pgxpool.Pool, id int) error {
	_, err := pool.Exec(ctx, "update commits set n = n + 1 where id = $1", id)
	return err
}

// BenchmarkTable/one compares acquire + release of a lease with two commits, by turns; the ratio is the figure to quote.
// BenchmarkTable/many does so for 256 goroutines on distinct names, against the same number that commit once each through a pool of 64.
func BenchmarkTable(b *testing.B) {
	b.Run("one", func(b *testing.B) {
		pool := durablePool(b, 4)
		locks := sqllock.New(postgres.Table(pool))
		defer func() { require.NoError(b, locks.Close(b.Context())) }()
		var ours, floor time.Duration
		b.ReportAllocs()
		for b.Loop() {
			start := time.Now()
			cycle(b, locks, "bench")
			between := time.Now()
			require.NoError(b, commit(b.Context(), pool, 0))
			require.NoError(b, commit(b.Context(), pool, 0))
			ours += between.Sub(start)
			floor += time.Since(between)
		}
		b.ReportMetric(float64(ours.Microseconds())/float64(b.N), "µs/cycle")
		b.ReportMetric(float64(floor.Microseconds())/float64(b.N), "µs/2commits")
		b.ReportMetric(float64(ours)/float64(floor), "ratio")
	})
	b.Run("many", func(b *testing.B) {
		const goroutines, round = 256, 2 * time.Second
		pool := durablePool(b, 64)
		locks := sqllock.New(postgres.Table(pool))
		defer func() { require.NoError(b, locks.Close(b.Context())) }()
		var leases, commits float64
		for b.Loop() {
			leases += perSecond(b, goroutines, round, func(i int) { cycle(b, locks, fmt.Sprintf("bench %d", i)) })
			commits += perSecond(b, goroutines, round, func(i int) { require.NoError(b, commit(b.Context(), pool, i)) })
		}
		b.ReportMetric(leases/float64(b.N), "leases/s")
		b.ReportMetric(commits/float64(b.N), "commits/s")
		b.ReportMetric(leases/commits, "ratio")
	})
}

func cycle(b *testing.B, locks *sqllock.Client, name string) {
	lock, err := locks.Acquire(b.Context(), name)
	require.NoError(b, err)
	require.NoError(b, lock.Release(b.Context()))
}

func perSecond(b *testing.B, goroutines int, d time.Duration, f func(i int)) float64 {
	var n atomic.Int64
	end := time.Now().Add(d)
	done := make(chan struct{})
	for i := range goroutines {
		go func() {
			defer func() { done <- struct{}{} }()
			for time.Now().Before(end) {
				f(i)
				n.Add(1)
			}
		}()
	}
	for range goroutines {
		<-done
	}
	return float64(n.Load()) / d.Seconds()
}

// BenchmarkTableHeld tells what 10,000 held leases cost: memory and goroutines for each, and statements per second in all.
func BenchmarkTableHeld(b *testing.B) {
	const held, ttl = 10_000, 3 * time.Second
	pool := durablePool(b, 4)
	locks := sqllock.New(postgres.Table(pool), sqllock.TTL(ttl))
	defer func() { require.NoError(b, locks.Close(b.Context())) }()
	names := make([]string, held)
	for i := range names {
		names[i] = fmt.Sprintf("held %d", i)
	}
	cycle(b, locks, "first")
	for b.Loop() {
		memory, goroutines := heap(), runtime.NumGoroutine()
		sets := make([]*sqllock.Set, 0, held/100)
		for i := 0; i < held; i += 100 {
			set, err := locks.AcquireAll(b.Context(), names[i:i+100])
			require.NoError(b, err)
			sets = append(sets, set)
		}
		b.ReportMetric(float64(heap()-memory)/held, "B/lease")
		b.ReportMetric(float64(runtime.NumGoroutine()-goroutines)/held, "goroutines/lease")
		before := transactions(b, pool)
		const periods = 6
		time.Sleep(periods * ttl / 3)
		b.ReportMetric(float64(transactions(b, pool)-before)/periods, "updates/(TTL/3)")
		for _, set := range sets {
			require.NoError(b, set.Release(b.Context()))
		}
	}
}

func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// transactions counts the rows changed in all tables of the toolkit.
func transactions(b *testing.B, pool *pgxpool.Pool) (n int64) {
	_, err := pool.Exec(b.Context(), "select pg_stat_clear_snapshot()")
	require.NoError(b, err)
	const query = "select coalesce(sum(n_tup_ins + n_tup_upd + n_tup_del), 0) from pg_stat_user_tables where relname like 'sqllock%'"
	require.NoError(b, pool.QueryRow(b.Context(), query).Scan(&n))
	return n
}
