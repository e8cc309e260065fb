package mysql_test

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	driver "github.com/go-sql-driver/mysql"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sqllock/toolkit/internal/testdb"
	"github.com/sqllock/toolkit/mysql"
	"github.com/sqllock/toolkit/sqllock"
)

// clusterPatience is for a cluster whose nodes have lost sight of each other, because the machine had no time for them.
const clusterPatience = time.Minute

// TestGalera has one process on each of three nodes.
func TestGalera(t *testing.T) {
	t.Parallel()
	nodes := testdb.StartGalera(t, 3)
	migrate(t, nodes[0].Config())
	t.Run("RefusesNamed", func(t *testing.T) {
		for _, node := range nodes {
			galeraRefusesNamed(t, node.Config())
		}
	})
	processes := make([]leaseholder, len(nodes))
	for i, node := range nodes {
		// The application reads what other nodes have committed before, which costs each read a moment.
		cfg := node.Config()
		cfg.Params = map[string]string{"wsrep_sync_wait": "1"}
		// To look waits for the schema, too, which is changed on one node after the other.
		require.NoError(t, connect(t, cfg).QueryRowContext(t.Context(), "SELECT COUNT(*) FROM sqllock_waiters").Scan(new(int)))
		processes[i] = lease(t, cfg)
	}
	t.Run("TableExcludesAcrossNodes", func(t *testing.T) { tableExcludesAcrossNodes(t, processes) })
	t.Run("NodeThatIsOutrunJoinsTheLine", func(t *testing.T) { galeraOutruns(t, processes) })
	t.Run("GrantIsWholeOrNone", func(t *testing.T) { galeraGrants(t, processes) })
	t.Run("ForceReleaseTakesWhatAnotherNodeHasGranted", func(t *testing.T) { galeraForces(t, processes) })
	t.Run("GuardedTransactionIsSeenByTheNextHolderOrFails", func(t *testing.T) { galeraGuard(t, processes) })
}

func galeraRefusesNamed(t *testing.T, cfg *driver.Config) {
	t.Helper()
	ctx := t.Context()
	backend := mysql.Named(cfg)
	defer func() { assert.NoError(t, backend.Close(context.Background())) }()
	locks := sqllock.New(backend)
	defer func() { assert.NoError(t, locks.Close(context.Background())) }()
	require.ErrorIs(t, locks.Ping(ctx), sqllock.ErrRefused)
	_, err := locks.Acquire(ctx, "n")
	require.ErrorIs(t, err, sqllock.ErrRefused)
	require.ErrorContains(t, err, "Galera")
	require.ErrorContains(t, err, "Table")
	err = backend.WithTx(ctx, "n", func(*sql.Tx) error { panic("not reached") })
	require.ErrorIs(t, err, sqllock.ErrRefused)
}

func tableExcludesAcrossNodes(t *testing.T, processes []leaseholder) {
	const workers, turns = 2, 12
	var holders, grants atomic.Int64
	var tokens sync.Map
	var all sync.WaitGroup
	for _, p := range processes {
		for range workers {
			all.Go(func() {
				for range turns {
					l, err := p.client.Acquire(t.Context(), "contended", sqllock.Wait(clusterPatience))
					if !assert.NoError(t, err) {
						return
					}
					assert.EqualValues(t, 1, holders.Add(1), "two nodes have granted one lock")
					_, again := tokens.LoadOrStore(l.Token(), true)
					assert.False(t, again, "a token was given out twice")
					grants.Add(1)
					holders.Add(-1)
					assert.NoError(t, l.Release(t.Context()))
				}
			})
		}
	}
	all.Wait()
	assert.EqualValues(t, len(processes)*workers*turns, grants.Load())
}

// galeraOutruns has two nodes change the row of a name without a pause: for as long as they do, nearly all that a third one tries is rolled back.
func galeraOutruns(t *testing.T, processes []leaseholder) {
	ctx := t.Context()
	slow := processes[0]
	free, err := slow.client.Acquire(ctx, "hot")
	require.NoError(t, err)
	require.NoError(t, free.Release(ctx))

	hot, calm := context.WithCancel(ctx)
	defer calm()
	var all sync.WaitGroup
	defer all.Wait()
	defer calm()
	for _, p := range processes[1:] {
		for range 4 {
			all.Go(func() {
				for hot.Err() == nil { // conflicts with each other are of no interest
					_, _ = p.db.ExecContext(ctx, "UPDATE sqllock_resources SET used_at = UTC_TIMESTAMP(6) WHERE name = 'hot'")
				}
			})
		}
	}
	for range 20 {
		if l, err := slow.client.TryAcquire(ctx, "hot"); err == nil {
			assert.NoError(t, l.Release(ctx))
		} else {
			assert.ErrorIs(t, err, sqllock.ErrNotAcquired)
		}
	}
	var waits sync.WaitGroup
	waits.Go(func() {
		l, err := slow.client.Acquire(ctx, "hot", sqllock.Wait(clusterPatience))
		if assert.NoError(t, err) {
			assert.NoError(t, l.Release(ctx))
		}
		calm()
	})
	for hot.Err() == nil {
		var inLine int
		if !assert.NoError(t, slow.db.QueryRow("SELECT COUNT(*) FROM sqllock_waiters").Scan(&inLine)) || inLine > 0 {
			calm()
		}
	}
	waits.Wait()
}

// galeraGrants has all nodes try for what is free, again and again. Many of those transactions are ended by what has been granted on another node, at any
// point of theirs: of the statements that are left nothing must be carried out.
func galeraGrants(t *testing.T, processes []leaseholder) {
	var tokens sync.Map
	var all sync.WaitGroup
	grants := make([]atomic.Int64, len(processes))
	end := time.Now().Add(5 * time.Second)
	for i, p := range processes {
		for _, names := range [][]string{{"alone"}, {"two", "together"}} {
			all.Go(func() {
				for time.Now().Before(end) {
					set, err := p.client.AcquireAll(t.Context(), names, sqllock.Wait(0))
					if err != nil {
						assert.ErrorIs(t, err, sqllock.ErrNotAcquired)
						continue
					}
					for _, l := range set.Locks() {
						_, again := tokens.LoadOrStore(fmt.Sprint(l.Name(), l.Token()), true)
						assert.False(t, again, "token %d of %q was given out twice", l.Token(), l.Name())
					}
					grants[i].Add(1)
					assert.NoError(t, set.Release(t.Context()))
				}
			})
		}
	}
	all.Wait()
	for i := range grants {
		t.Log(grants[i].Load(), "grants")
		assert.Positive(t, grants[i].Load())
	}
}

// galeraForces takes locks away on one node that have just been granted on another, under names that are new, and behind a transaction that takes
// the one node as long as the other.
func galeraForces(t *testing.T, processes []leaseholder) {
	const rounds = 20
	ctx := t.Context()
	processes[0].exec(t, "CREATE TABLE bulk (round INT, n INT, PRIMARY KEY (round, n))")
	for round := range rounds {
		name := fmt.Sprint("forced ", round)
		processes[0].exec(t, fmt.Sprintf("INSERT INTO bulk SELECT %d, seq FROM seq_1_to_5000", round))
		lock, err := processes[0].client.Acquire(ctx, name)
		require.NoError(t, err)
		require.NoError(t, processes[2].client.ForceRelease(ctx, name))
		next, err := processes[2].client.Acquire(ctx, name, sqllock.Wait(5*time.Second))
		require.NoError(t, err, "round %d", round)
		require.Greater(t, next.Token(), lock.Token())
		require.NoError(t, next.Release(ctx))
		_ = lock.Release(ctx) // it was taken away
	}
}

// galeraGuard commits on one node what is guarded, at about the time at which the lock is taken away on another and granted there. What
// a transaction has only locked is not replicated: if Guard did no more, some of these would be committed after the next holder has looked.
func galeraGuard(t *testing.T, processes []leaseholder) {
	const rounds = 150
	ctx := t.Context()
	first, second := processes[0], processes[1]
	first.exec(t, "CREATE TABLE journal (round INT PRIMARY KEY)")
	committed, failed := 0, 0
	for round := range rounds {
		lock, err := first.client.Acquire(ctx, "n", sqllock.Wait(clusterPatience))
		require.NoError(t, err)
		tx := first.begin(t, sql.LevelDefault)
		require.NoError(t, first.table.Guard(ctx, tx, lock))
		_, err = tx.Exec(fmt.Sprintf("INSERT INTO journal VALUES (%d)", round))
		require.NoError(t, err)

		seen := make(chan int, 1)
		go func() { seen <- lookAfter(ctx, t, second, round) }()
		<-time.After(rand.N(4 * time.Millisecond)) // somewhere in the middle of that
		commit := tx.Commit()
		n := <-seen
		switch {
		case commit != nil:
			failed++
		case n == 0:
			t.Errorf("round %d: committed after the next holder has looked", round)
		default:
			committed++
		}
		_ = lock.Release(ctx) // it was taken away
	}
	assert.Positive(t, committed)
	assert.Positive(t, failed)
	t.Log(committed, "seen by the next holder,", failed, "failed")
}

// lookAfter takes the lock away, and returns how many rows the next holder sees of a round; -1 if it could not look.
func lookAfter(ctx context.Context, t *testing.T, p leaseholder, round int) int {
	force, cancel := context.WithTimeout(ctx, clusterPatience)
	defer cancel()
	if !assert.NoError(t, p.client.ForceRelease(force, "n")) {
		return -1
	}
	l, err := p.client.Acquire(ctx, "n", sqllock.Wait(clusterPatience))
	if !assert.NoError(t, err) {
		return -1
	}
	defer func() { _ = l.Release(ctx) }()
	tx, err := p.db.BeginTx(ctx, nil)
	if !assert.NoError(t, err) {
		return -1
	}
	defer func() { _ = tx.Rollback() }()
	if p.table.Guard(ctx, tx, l) != nil { // a conflict with the first
		return -1
	}
	n := -1
	if tx.QueryRow(fmt.Sprintf("SELECT COUNT(*) FROM journal WHERE round = %d", round)).Scan(&n) != nil || tx.Commit() != nil {
		return -1
	}
	return n
}
