package mysql_test

import (
	"context"
	"database/sql"
	"fmt"
	"net"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	driver "github.com/go-sql-driver/mysql"
	"github.com/stretchr/testify/require"

	"github.com/sqllock/toolkit/internal/testdb"
	"github.com/sqllock/toolkit/mysql"
	"github.com/sqllock/toolkit/sqllock"
)

// rawConfig is what careful people write by hand: without interpolateParams every statement is prepared anew.
func rawConfig(b *testing.B) *driver.Config {
	cfg := testdb.MySQL(b)
	cfg.InterpolateParams = true
	return cfg
}

func namedClient(b *testing.B, cfg *driver.Config, opts ...mysql.Option) *sqllock.Client {
	backend := mysql.Named(cfg, opts...)
	client := sqllock.New(backend)
	b.Cleanup(func() {
		require.NoError(b, client.Close(context.Background()))
		require.NoError(b, backend.Close(context.Background()))
	})
	return client
}

func rawPool(b *testing.B, cfg *driver.Config, size int) *sql.DB {
	connector, err := driver.NewConnector(cfg)
	require.NoError(b, err)
	db := sql.OpenDB(connector)
	db.SetMaxOpenConns(size)
	db.SetMaxIdleConns(size)
	b.Cleanup(func() { require.NoError(b, db.Close()) })
	return db
}

func rawConn(b *testing.B, cfg *driver.Config) *sql.Conn {
	conn, err := rawPool(b, cfg, 1).Conn(b.Context())
	require.NoError(b, err)
	b.Cleanup(func() { _ = conn.Close() })
	return conn
}

// asks runs a query for one number.
type asks interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

func askRaw(b *testing.B, c asks, query string, args ...any) {
	var n int
	if err := c.QueryRowContext(context.Background(), query, args...).Scan(&n); err != nil || n != 1 {
		b.Error(query, n, err)
	}
}

func cycleNamed(ctx context.Context, b *testing.B, locks *sqllock.Client, name string) {
	lock, err := locks.Acquire(ctx, name)
	if err == nil {
		err = lock.Release(ctx)
	}
	if err != nil {
		b.Error(err)
	}
}

// BenchmarkNamed/one compares acquire + release with two round trips of the raw driver, and with GET_LOCK and RELEASE_LOCK by hand, by turns.
// BenchmarkNamed/goroutines=n does so for n goroutines on distinct names, on one connection, against a pool of as many connections, 64 at
// most, with GET_LOCK and RELEASE_LOCK by hand.
func BenchmarkNamed(b *testing.B) {
	b.Run("one", func(b *testing.B) {
		cancellable, cancel := context.WithCancel(b.Context())
		defer cancel()
		benchmarkNamedOne(cancellable, b)
	})
	b.Run("one-never-cancelled", func(b *testing.B) { benchmarkNamedOne(context.Background(), b) })
	for _, goroutines := range []int{16, 256, 1024} {
		b.Run(fmt.Sprintf("goroutines=%d", goroutines), func(b *testing.B) {
			const round = 2 * time.Second
			cfg := rawConfig(b)
			locks := namedClient(b, cfg)
			pool := rawPool(b, cfg, min(goroutines, 64))
			names := make([]string, goroutines)
			for i := range names {
				names[i] = fmt.Sprintf("bench %d", i)
			}
			var ours, theirs float64
			for b.Loop() {
				ours += perSecond(b, goroutines, round, func(i int) { cycleNamed(b.Context(), b, locks, names[i]) })
				theirs += perSecond(b, goroutines, round, func(i int) {
					conn, err := pool.Conn(b.Context())
					if err != nil {
						b.Error(err)
						return
					}
					defer conn.Close()
					askRaw(b, conn, "SELECT GET_LOCK(?, 0)", names[i])
					askRaw(b, conn, "SELECT RELEASE_LOCK(?)", names[i])
				})
			}
			b.ReportMetric(ours/float64(b.N), "cycles/s")
			b.ReportMetric(theirs/float64(b.N), "pool-cycles/s")
			b.ReportMetric(ours/theirs, "ratio")
		})
	}
}

func benchmarkNamedOne(ctx context.Context, b *testing.B) {
	cfg := rawConfig(b)
	locks := namedClient(b, cfg)
	conn := rawConn(b, cfg)
	cycleNamed(ctx, b, locks, "bench")
	b.ReportAllocs()
	var ours, floor, hand time.Duration
	const turn = 20
	for b.Loop() {
		start := time.Now()
		for range turn {
			cycleNamed(ctx, b, locks, "bench")
		}
		second := time.Now()
		for range 2 * turn {
			askRaw(b, conn, "SELECT 1")
		}
		third := time.Now()
		for range turn {
			askRaw(b, conn, "SELECT GET_LOCK(?, 0)", "by hand")
			askRaw(b, conn, "SELECT RELEASE_LOCK(?)", "by hand")
		}
		ours += second.Sub(start)
		floor += third.Sub(second)
		hand += time.Since(third)
	}
	b.ReportMetric(float64(ours.Nanoseconds())/float64(b.N*turn)/1e3, "µs/cycle")
	b.ReportMetric(float64(floor.Nanoseconds())/float64(b.N*turn)/1e3, "µs/2trips")
	b.ReportMetric(float64(ours)/float64(floor), "ratio")
	b.ReportMetric(float64(hand)/float64(floor), "ratio-by-hand")
}

// BenchmarkNamedHandOver passes one lock to and fro between two Clients, each with a backend of its own, against two connections that block
// in GET_LOCK.
func BenchmarkNamedHandOver(b *testing.B) {
	const rounds = 200
	cfg := rawConfig(b)
	clients := []*sqllock.Client{namedClient(b, cfg), namedClient(b, cfg)}
	conns := []*sql.Conn{rawConn(b, cfg), rawConn(b, cfg)}
	var ours, theirs time.Duration
	for b.Loop() {
		ours += passOn(rounds, func(i int) func() {
			lock, err := clients[i].Acquire(b.Context(), "bench")
			require.NoError(b, err)
			return func() { require.NoError(b, lock.Release(b.Context())) }
		})
		theirs += passOn(rounds, func(i int) func() {
			askRaw(b, conns[i], "SELECT GET_LOCK(?, 100)", "by hand")
			return func() { askRaw(b, conns[i], "SELECT RELEASE_LOCK(?)", "by hand") }
		})
	}
	n := float64(b.N * rounds)
	b.ReportMetric(float64(ours.Microseconds())/n, "µs/hand-over")
	b.ReportMetric(float64(theirs.Microseconds())/n, "µs/blocking")
	b.ReportMetric(float64(ours)/float64(theirs), "ratio")
}

// passOn measures from the moment before a release to the grant of the one who waits, who has had time to begin to wait.
func passOn(rounds int, acquire func(i int) (release func())) (total time.Duration) {
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

// BenchmarkNamedTakeOver measures from the instant at which a holder's connection is closed, as the kernel closes those of a process that is
// killed, to the grant of the one who waits.
func BenchmarkNamedTakeOver(b *testing.B) {
	cfg := rawConfig(b)
	next := namedClient(b, cfg)
	var took []time.Duration
	for b.Loop() {
		mortal, cut := cutOff(cfg)
		holder := namedClient(b, mortal)
		_, err := holder.Acquire(b.Context(), "bench")
		require.NoError(b, err)
		granted := make(chan *sqllock.Lock)
		go func() {
			lock, err := next.Acquire(b.Context(), "bench")
			require.NoError(b, err)
			granted <- lock
		}()
		time.Sleep(20 * time.Millisecond)
		start := time.Now()
		cut()
		lock := <-granted
		took = append(took, time.Since(start))
		require.NoError(b, lock.Release(b.Context()))
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1e3, "ms-median")
	b.ReportMetric(float64(took[len(took)-1].Microseconds())/1e3, "ms-longest")
}

// BenchmarkNamedHeld tells what 5,000 held locks cost.
func BenchmarkNamedHeld(b *testing.B) {
	const locks = 5000
	cfg := rawConfig(b)
	for b.Loop() {
		client := namedClient(b, cfg)
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

// cutOff is the configuration of a process whose connections can be closed at once, as its kernel does when it is killed.
func cutOff(cfg *driver.Config) (mortal *driver.Config, cut func()) {
	var mu sync.Mutex
	var conns []net.Conn
	mortal = cfg.Clone()
	mortal.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, addr)
		if err == nil {
			mu.Lock()
			defer mu.Unlock()
			conns = append(conns, conn)
		}
		return conn, err
	}
	return mortal, func() {
		mu.Lock()
		defer mu.Unlock()
		for _, conn := range conns {
			_ = conn.Close()
		}
	}
}
