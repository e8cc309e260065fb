package postgres_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/sqllock/toolkit/internal/testdb"
	"github.com/sqllock/toolkit/postgres"
	"github.com/sqllock/toolkit/sqllock"
)

// rawKey is what the hand-written contestants lock; it has nothing to do with the keys of names.
func rawKey(i int) int64 { return int64(i) + 1<<40 }

// BenchmarkAdvisory/one compares acquire + release, with token, guard barrier and wake-up check, with two round trips of raw pgx, by turns.
// BenchmarkAdvisory/goroutines=n does so for n goroutines on distinct names, on one connection, against a pool of as many connections,
// 64 at most, that try and unlock by hand.
func BenchmarkAdvisory(b *testing.B) {
	b.Run("one", func(b *testing.B) {
		pool := durablePool(b, 4)
		locks := sqllock.New(postgres.Advisory(pool, postgres.WithTokens()))
		defer func() { require.NoError(b, locks.Close(b.Context())) }()
		conn, err := pgx.ConnectConfig(b.Context(), pool.Config().ConnConfig)
		require.NoError(b, err)
		defer func() { _ = conn.Close(b.Context()) }()
		cycle(b, locks, "bench")
		b.ReportAllocs()
		var ours, floor time.Duration
		const turn = 20
		for b.Loop() {
			start := time.Now()
			for range turn {
				cycle(b, locks, "bench")
			}
			between := time.Now()
			for range 2 * turn {
				roundTrip(b, conn)
			}
			ours += between.Sub(start)
			floor += time.Since(between)
		}
		b.ReportMetric(float64(ours.Nanoseconds())/float64(b.N*turn)/1e3, "µs/cycle")
		b.ReportMetric(float64(floor.Nanoseconds())/float64(b.N*turn)/1e3, "µs/2trips")
		b.ReportMetric(float64(ours)/float64(floor), "ratio")
	})
	for _, goroutines := range []int{16, 256, 1024} {
		b.Run(fmt.Sprintf("goroutines=%d", goroutines), func(b *testing.B) {
			const round = 2 * time.Second
			pool := durablePool(b, int32(min(goroutines, 64)))
			locks := sqllock.New(postgres.Advisory(pool, postgres.WithTokens()))
			defer func() { require.NoError(b, locks.Close(b.Context())) }()
			names := make([]string, goroutines)
			for i := range names {
				names[i] = fmt.Sprintf("bench %d", i)
			}
			var ours, theirs float64
			for b.Loop() {
				ours += perSecond(b, goroutines, round, func(i int) { cycle(b, locks, names[i]) })
				theirs += perSecond(b, goroutines, round, func(i int) { byHand(b, pool, rawKey(i)) })
			}
			b.ReportMetric(ours/float64(b.N), "cycles/s")
			b.ReportMetric(theirs/float64(b.N), "pool-cycles/s")
			b.ReportMetric(ours/theirs, "ratio")
		})
	}
}

// BenchmarkAdvisoryAllocs counts what a cycle allocates, with -benchmem: for one goroutine, and where 256 share their round trips.
func BenchmarkAdvisoryAllocs(b *testing.B) {
	for _, goroutines := range []int{1, 256} {
		b.Run(fmt.Sprintf("goroutines=%d", goroutines), func(b *testing.B) {
			locks := sqllock.New(postgres.Advisory(durablePool(b, 4), postgres.WithTokens()))
			defer func() { require.NoError(b, locks.Close(b.Context())) }()
			names := make([]string, goroutines)
			for i := range names {
				names[i] = fmt.Sprintf("bench %d", i)
				cycle(b, locks, names[i])
			}
			b.ReportAllocs()
			b.ResetTimer()
			var all sync.WaitGroup
			for _, name := range names {
				all.Go(func() {
					for range b.N / goroutines {
						cycle(b, locks, name)
					}
				})
			}
			all.Wait()
		})
	}
}

func roundTrip(b *testing.B, conn *pgx.Conn) {
	var one int
	if err := conn.QueryRow(b.Context(), "SELECT 1").Scan(&one); err != nil {
		b.Fatal(err)
	}
}

// byHand is what people write: a connection for each lock.
func byHand(b *testing.B, pool *pgxpool.Pool, key int64) {
	conn, err := pool.Acquire(b.Context())
	if err != nil {
		b.Error(err)
		return
	}
	defer conn.Release()
	var ok bool
	if err := conn.QueryRow(b.Context(), "SELECT pg_try_advisory_lock($1)", key).Scan(&ok); err != nil || !ok {
		b.Error(ok, err)
	}
	if err := conn.QueryRow(b.Context(), "SELECT pg_advisory_unlock($1)", key).Scan(&ok); err != nil || !ok {
		b.Error(ok, err)
	}
}

// BenchmarkAdvisoryHandOver passes one lock to and fro between two Clients, each with a backend of its own, against two
// connections that block in pg_advisory_lock.
func BenchmarkAdvisoryHandOver(b *testing.B) {
	const rounds = 200
	pool := durablePool(b, 4)
	first, second := sqllock.New(postgres.Advisory(pool)), sqllock.New(postgres.Advisory(pool))
	defer func() {
		require.NoError(b, first.Close(context.Background()))
		require.NoError(b, second.Close(context.Background()))
	}()
	var conns [2]*pgx.Conn
	for i := range conns {
		conn, err := pgx.ConnectConfig(b.Context(), pool.Config().ConnConfig)
		require.NoError(b, err)
		conns[i] = conn
		defer func() { _ = conn.Close(context.Background()) }()
	}
	var ours, theirs time.Duration
	for b.Loop() {
		ours += passOn(b, rounds, func(i int) func() {
			lock, err := []*sqllock.Client{first, second}[i].Acquire(b.Context(), "bench")
			require.NoError(b, err)
			return func() { require.NoError(b, lock.Release(b.Context())) }
		})
		theirs += passOn(b, rounds, func(i int) func() {
			_, err := conns[i].Exec(b.Context(), "SELECT pg_advisory_lock(1)")
			require.NoError(b, err)
			return func() {
				_, err := conns[i].Exec(b.Context(), "SELECT pg_advisory_unlock(1)")
				require.NoError(b, err)
			}
		})
	}
	n := float64(b.N * rounds)
	b.ReportMetric(float64(ours.Microseconds())/n, "µs/hand-over")
	b.ReportMetric(float64(theirs.Microseconds())/n, "µs/blocking")
	b.ReportMetric(float64(ours)/float64(theirs), "ratio")
}

// passOn measures from the moment before a release to the grant of the one who waits, who has had time to begin to wait.
func passOn(b *testing.B, rounds int, acquire func(i int) (release func())) (total time.Duration) {
	release := acquire(0)
	for round := range rounds {
		granted := make(chan func())
		go func() { granted <- acquire((round + 1) % 2) }()
		time.Sleep(2 * time.Millisecond)
		var all sync.WaitGroup
		start := time.Now()
		all.Go(release)
		release = <-granted
		total += time.Since(start)
		all.Wait()
	}
	release()
	return total
}

// BenchmarkAdvisoryTakeOver measures from the instant at which a holder's connection is closed, as the kernel closes those of a process that is killed,
// to the grant of the one who waits: with the default poll, and with a sentinel, which costs that one a second connection.
func BenchmarkAdvisoryTakeOver(b *testing.B) {
	for name, opts := range map[string][]postgres.Option{"poll": nil, "sentinel": {postgres.Sentinel()}} {
		b.Run(name, func(b *testing.B) {
			dsn := testdb.Postgres(b)
			next, _ := mortal(b, dsn, opts...)
			var took []time.Duration
			for b.Loop() {
				holder, line := mortal(b, dsn)
				_, err := holder.Acquire(b.Context(), "bench")
				require.NoError(b, err)
				granted := make(chan *sqllock.Lock)
				go func() {
					lock, err := next.Acquire(b.Context(), "bench")
					require.NoError(b, err)
					granted <- lock
				}()
				time.Sleep(100*time.Millisecond + time.Duration(rand.Int64N(int64(time.Second)))) // anywhere between two polls
				start := time.Now()
				line.cut()
				lock := <-granted
				took = append(took, time.Since(start))
				require.NoError(b, lock.Release(b.Context()))
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Microseconds())/1e3, "ms-median")
			b.ReportMetric(float64(took[len(took)-1].Microseconds())/1e3, "ms-longest")
		})
	}
}

// BenchmarkAdvisoryHeld tells what 5,000 held locks cost.
func BenchmarkAdvisoryHeld(b *testing.B) {
	const locks = 5000
	pool := durablePool(b, 4)
	for b.Loop() {
		client := sqllock.New(postgres.Advisory(pool, postgres.MaxLocks(2*locks)))
		first, err := client.Acquire(b.Context(), "first")
		require.NoError(b, err)
		goroutines := runtime.NumGoroutine()
		before := heap()
		held := make([]*sqllock.Lock, locks)
		for i := range held {
			held[i], err = client.Acquire(b.Context(), fmt.Sprintf("bench %d", i))
			require.NoError(b, err)
		}
		b.ReportMetric(float64(heap()-before)/locks, "B/lock")
		b.ReportMetric(float64(runtime.NumGoroutine()-goroutines), "more-goroutines")
		runtime.KeepAlive(held)
		require.NoError(b, first.Release(b.Context()))
		require.NoError(b, client.Close(b.Context()))
	}
}
