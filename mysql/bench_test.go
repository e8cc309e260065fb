package mysql_test

import (
	"context"
	"database/sql"
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sqllock/toolkit/internal/testdb"
	"github.com/sqllock/toolkit/mysql"
	"github.com/sqllock/toolkit/sqllock"
)

// durable connects to a server with the durability that MySQL has by default: what leases cost is compared with commits.
func durable(b *testing.B, conns int) (*mysql.TableBackend, *sql.DB) {
	cfg := testdb.StartMySQL(b, "innodb-flush-log-at-trx-commit=1").Config()
	migrate(b, cfg)
	table := mysql.Table(cfg)
	cfg.InterpolateParams = true // the floor is one round trip too
	db := connect(b, cfg)
	db.SetMaxOpenConns(conns)
	db.SetMaxIdleConns(conns)
	_, err := db.ExecContext(b.Context(), "CREATE TABLE commits (id INT PRIMARY KEY, n INT NOT NULL)")
	require.NoError(b, err)
	for i := range 256 {
		_, err := db.ExecContext(b.Context(), "INSERT INTO commits VALUES (?, 0)", i)
		require.NoError(b, err)
	}
	return table, db
}

// commit is the floor: the smallest transaction that is durable.
func commit(ctx context.Context, db *sql.DB, id int) error {
	_, err := db.ExecContext(ctx, "UPDATE commits SET n = n + 1 WHERE id = ?", id)
	return err
}

// BenchmarkTable/one compares acquire + release of a lease with two commits, by turns; the ratio is the figure to quote.
// BenchmarkTable/many does so for 256 goroutines on distinct names, against the same number that commit once each through a pool of 64.
func BenchmarkTable(b *testing.B) {
	b.Run("one", func(b *testing.B) {
		table, db := durable(b, 4)
		locks := sqllock.New(table)
		defer func() { require.NoError(b, locks.Close(b.Context())) }()
		cycle(b, locks, "bench")
		var ours, floor time.Duration
		b.ReportAllocs()
		for b.Loop() {
			start := time.Now()
			cycle(b, locks, "bench")
			between := time.Now()
			require.NoError(b, commit(b.Context(), db, 0))
			require.NoError(b, commit(b.Context(), db, 0))
			ours += between.Sub(start)
			floor += time.Since(between)
		}
		b.ReportMetric(float64(ours.Microseconds())/float64(b.N), "µs/cycle")
		b.ReportMetric(float64(floor.Microseconds())/float64(b.N), "µs/2commits")
		b.ReportMetric(float64(ours)/float64(floor), "ratio")
	})
	b.Run("many", func(b *testing.B) {
		const goroutines, round = 256, 2 * time.Second
		table, db := durable(b, 64)
		locks := sqllock.New(table)
		defer func() { require.NoError(b, locks.Close(b.Context())) }()
		var leases, commits float64
		for b.Loop() {
			leases += perSecond(b, goroutines, round, func(i int) { cycle(b, locks, fmt.Sprintf("bench %d", i)) })
			commits += perSecond(b, goroutines, round, func(i int) { require.NoError(b, commit(b.Context(), db, i)) })
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

// BenchmarkTableHeld tells what 10,000 held leases cost: memory and goroutines for each.
func BenchmarkTableHeld(b *testing.B) {
	const held = 10_000
	table, _ := durable(b, 4)
	locks := sqllock.New(table)
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
