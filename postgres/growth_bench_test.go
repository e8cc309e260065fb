package postgres_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/sqllock/toolkit/postgres"
	"github.com/sqllock/toolkit/sqllock"
)

var growing = map[string]func(*pgxpool.Pool) sqllock.Backend{
	"Advisory": func(p *pgxpool.Pool) sqllock.Backend { return postgres.Advisory(p) },
	"Table":    func(p *pgxpool.Pool) sqllock.Backend { return postgres.Table(p) },
}

// BenchmarkGrowth tells how cost grows with what others do, in one database: with the names that there are, with the processes that hold something else,
// and with the processes that want the same lock. Each process is a Client with a backend of its own.
func BenchmarkGrowth(b *testing.B) {
	for backend, open := range growing {
		for _, names := range []int{1_000, 1_000_000} {
			b.Run(fmt.Sprintf("%s/names=%d", backend, names), func(b *testing.B) { amongNames(b, open, names) })
		}
		for _, processes := range []int{0, 100, 500} {
			b.Run(fmt.Sprintf("%s/holders=%d", backend, processes), func(b *testing.B) { amongHolders(b, open, processes) })
		}
		for _, processes := range []int{2, 10, 100, 300} {
			b.Run(fmt.Sprintf("%s/rivals=%d", backend, processes), func(b *testing.B) { amongRivals(b, open, processes) })
		}
	}
}

// amongNames takes and releases names of which there are many: in a Table each has a row, for Advisory they are only names.
func amongNames(b *testing.B, open func(*pgxpool.Pool) sqllock.Backend, names int) {
	pool := durablePool(b, 4)
	_, err := pool.Exec(b.Context(), `insert into sqllock_resources (namespace, name, token, used_at)
		select '', 'job ' || g, 0, now() from generate_series(1, $1) g`, names)
	require.NoError(b, err)
	_, err = pool.Exec(b.Context(), "vacuum analyze sqllock_resources")
	require.NoError(b, err)
	locks := sqllock.New(open(pool))
	defer func() { require.NoError(b, locks.Close(context.Background())) }()
	cycle(b, locks, "job 1")
	b.ResetTimer()
	for range b.N {
		cycle(b, locks, fmt.Sprintf("job %d", 1+rand.N(names)))
	}
}

// clients are processes of one database.
func clients(b *testing.B, open func(*pgxpool.Pool) sqllock.Backend, pool *pgxpool.Pool, n int) []*sqllock.Client {
	all := make([]*sqllock.Client, n)
	for i := range all {
		all[i] = sqllock.New(open(pool))
		b.Cleanup(func() { require.NoError(b, all[i].Close(context.Background())) })
	}
	return all
}

// amongHolders hands a lock over between two processes, beside others that hold one lock each, and so listen.
func amongHolders(b *testing.B, open func(*pgxpool.Pool) sqllock.Backend, others int) {
	pool := durablePool(b, 4, "max_connections=1200")
	for i, c := range clients(b, open, pool, others) {
		_, err := c.Acquire(b.Context(), fmt.Sprintf("other %d", i))
		require.NoError(b, err)
	}
	two := clients(b, open, pool, 2)
	b.ResetTimer()
	took := passOn(b, b.N, func(i int) func() {
		lock, err := two[i].Acquire(b.Context(), "bench")
		require.NoError(b, err)
		return func() { require.NoError(b, lock.Release(b.Context())) }
	})
	b.ReportMetric(float64(took.Microseconds())/float64(b.N), "µs/hand-over")
}

// amongRivals has processes take and release one lock, all the time.
func amongRivals(b *testing.B, open func(*pgxpool.Pool) sqllock.Backend, processes int) {
	pool := durablePool(b, 4, "max_connections=1200")
	all := clients(b, open, pool, processes)
	ctx, stop := context.WithCancel(b.Context())
	defer stop()
	var grants atomic.Int64
	var working sync.WaitGroup
	begin, enough := time.Now(), make(chan struct{})
	for _, c := range all {
		working.Go(func() {
			for {
				lock, err := c.Acquire(ctx, "bench")
				if ctx.Err() != nil {
					if err == nil {
						_ = lock.Release(b.Context())
					}
					return
				}
				require.NoError(b, err)
				if grants.Add(1) == int64(b.N) {
					close(enough)
				}
				require.NoError(b, lock.Release(b.Context()))
			}
		})
	}
	<-enough
	took := time.Since(begin)
	stop()
	working.Wait()
	b.ReportMetric(float64(b.N)/took.Seconds(), "grants/s")
}
