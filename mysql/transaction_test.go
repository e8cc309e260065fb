package mysql_test

import (
	"context"
	"database/sql"
	"fmt"
	"testing"
	"time"

	driver "github.com/go-sql-driver/mysql"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sqllock/toolkit/internal/testdb"
	"github.com/sqllock/toolkit/mysql"
	"github.com/sqllock/toolkit/sqllock"
)

// TestLockTxFirstReadsWhatThePreviousHolderCommitted waits for the lock at REPEATABLE READ. A statement that took the transaction's snapshot on
// the way would have it read what was there before.
func TestLockTxFirstReadsWhatThePreviousHolderCommitted(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	p := lease(t, tables(t))
	p.exec(t, "CREATE TABLE data (n INT NOT NULL)")
	p.exec(t, "INSERT INTO data VALUES (0)")
	for _, level := range []sql.IsolationLevel{sql.LevelDefault, sql.LevelRepeatableRead, sql.LevelSerializable} {
		before := p.int(t, "SELECT n FROM data")
		first := p.begin(t, level)
		require.NoError(t, p.table.LockTx(ctx, first, "n"))
		next := p.begin(t, level)
		locked := make(chan error, 1)
		go func() { locked <- p.table.LockTx(ctx, next, "n") }()
		short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
		require.ErrorIs(t, p.table.LockTx(short, p.begin(t, level), "n"), context.DeadlineExceeded, "by now the other has tried too")
		cancel()
		_, err := first.ExecContext(ctx, "UPDATE data SET n = n + 1")
		require.NoError(t, err)
		require.NoError(t, first.Commit())
		require.NoError(t, awaitErr(t, "LockTx", locked))
		var n int
		require.NoError(t, next.QueryRowContext(ctx, "SELECT n FROM data").Scan(&n))
		assert.Equal(t, before+1, n, level)
		require.NoError(t, next.Rollback())
	}
}

// TestRefusedTryLockTxLocksNothing: InnoDB keeps row locks until a transaction ends, so a refusal must not have taken one.
func TestRefusedTryLockTxLocksNothing(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	p := lease(t, tables(t))
	for range 10 {
		l, err := p.client.Acquire(ctx, "n", sqllock.Wait(10*time.Second))
		require.NoError(t, err)
		tx := p.begin(t, sql.LevelDefault)
		require.ErrorIs(t, p.table.TryLockTx(ctx, tx, "n"), sqllock.ErrNotAcquired)
		require.NoError(t, l.Release(ctx))
		l, err = p.client.TryAcquire(ctx, "n")
		require.NoError(t, err, "the transaction that was refused is still open")
		require.NoError(t, l.Release(ctx))
		require.NoError(t, tx.Rollback())
	}
}

// TestGuardSeesPastTheSnapshotOfItsTransaction begins the transaction, and reads in it, before the lock is acquired.
func TestGuardSeesPastTheSnapshotOfItsTransaction(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	p := lease(t, tables(t))
	strict := p.db.QueryRowContext(ctx, "SHOW VARIABLES WHERE Variable_name = 'innodb_snapshot_isolation' AND Value = 'ON'").Scan(new(string), new(string)) == nil
	for _, opts := range [][]sqllock.Option{nil, {sqllock.Shared()}, {sqllock.Permits(2)}} {
		tx := p.begin(t, sql.LevelRepeatableRead)
		var n int
		require.NoError(t, tx.QueryRowContext(ctx, "SELECT COUNT(*) FROM sqllock_holders").Scan(&n))
		l, err := p.client.Acquire(ctx, "n", append(opts, sqllock.Wait(10*time.Second))...)
		require.NoError(t, err)
		err = p.table.Guard(ctx, tx, l)
		if !strict {
			require.NoError(t, err)
			require.NoError(t, tx.Commit())
		} else if err != nil { // MariaDB locks nothing that has changed since the snapshot
			require.NotErrorIs(t, err, sqllock.ErrLost)
			require.ErrorContains(t, err, "1020")
			_ = tx.Rollback()
		}
		require.NoError(t, l.Release(ctx))
	}
}

// TestGuardInAnotherDatabaseSaysLost guards with rows that look the same.
func TestGuardInAnotherDatabaseSaysLost(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	cfg := tables(t)
	server := testdb.StartMySQL(t)
	p := lease(t, cfg)
	other := server.Config()
	admin := connect(t, other)
	_, err := admin.ExecContext(ctx, "CREATE DATABASE "+cfg.DBName)
	require.NoError(t, err)
	other.DBName = cfg.DBName
	migrate(t, other)
	there := lease(t, other)
	for _, opts := range [][]sqllock.Option{nil, {sqllock.Shared()}} {
		l, err := p.client.Acquire(ctx, "n", append(opts, sqllock.Wait(10*time.Second))...)
		require.NoError(t, err)
		same, err := there.client.Acquire(ctx, "n", append(opts, sqllock.Wait(10*time.Second))...)
		require.NoError(t, err)
		require.Equal(t, l.Token(), same.Token())
		tx := there.begin(t, sql.LevelDefault)
		require.ErrorIs(t, p.table.Guard(ctx, tx, l), sqllock.ErrLost)
		require.NoError(t, tx.Rollback())
		require.NoError(t, l.Verify(ctx), "it is not")
		require.NoError(t, l.Release(ctx))
		require.NoError(t, same.Release(ctx))
	}
}

// factors are what applications do differently with their own connections and transactions.
var factors = [][]func(*driver.Config, *sql.TxOptions){
	{level(sql.LevelReadUncommitted), level(sql.LevelReadCommitted), level(sql.LevelRepeatableRead), level(sql.LevelSerializable)},
	{param("sql_mode", "''"), param("sql_mode", "'ANSI_QUOTES,NO_BACKSLASH_ESCAPES,STRICT_ALL_TABLES'"), param("sql_mode", "'ANSI,PAD_CHAR_TO_FULL_LENGTH'")},
	{param("time_zone", "'+00:00'"), param("time_zone", "'-11:30'"), param("time_zone", "'+13:00'")},
	{charset("utf8mb4", "utf8mb4_general_ci"), charset("latin1", "latin1_swedish_ci")},
	{func(*driver.Config, *sql.TxOptions) {}, func(c *driver.Config, _ *sql.TxOptions) { c.InterpolateParams = true }},
	{func(*driver.Config, *sql.TxOptions) {}, func(c *driver.Config, _ *sql.TxOptions) { c.ParseTime, c.Loc = true, time.FixedZone("", -3600) }},
	{func(*driver.Config, *sql.TxOptions) {}, func(c *driver.Config, _ *sql.TxOptions) { c.ClientFoundRows, c.ColumnsWithAlias = true, true }},
	{func(*driver.Config, *sql.TxOptions) {}, func(c *driver.Config, _ *sql.TxOptions) { c.MultiStatements = true }},
	{param("autocommit", "1"), param("autocommit", "0")},
}

func level(l sql.IsolationLevel) func(*driver.Config, *sql.TxOptions) {
	return func(_ *driver.Config, o *sql.TxOptions) { o.Isolation = l }
}

func param(name, value string) func(*driver.Config, *sql.TxOptions) {
	return func(c *driver.Config, _ *sql.TxOptions) {
		if c.Params == nil {
			c.Params = make(map[string]string)
		}
		c.Params[name] = value
	}
}

func charset(name, collation string) func(*driver.Config, *sql.TxOptions) {
	return func(c *driver.Config, _ *sql.TxOptions) { _ = c.Apply(driver.Charset(name, collation)) }
}

// pairs chooses combinations, one choice for each factor, so that every two choices of different factors meet in one of them.
func pairs(sizes []int) [][]int {
	type pair struct{ f, a, g, b int }
	missing := make(map[pair]bool)
	for f := range sizes {
		for g := f + 1; g < len(sizes); g++ {
			for a := range sizes[f] {
				for b := range sizes[g] {
					missing[pair{f, a, g, b}] = true
				}
			}
		}
	}
	var all [][]int
	for len(missing) > 0 {
		row := make([]int, len(sizes))
		for f := range sizes { // greedily, but for the first two, which take turns
			best := -1
			for c := range sizes[f] {
				c = (c + len(all)) % sizes[f]
				n := 0
				for g := range f {
					if missing[pair{g, row[g], f, c}] {
						n++
					}
				}
				if n > best {
					best, row[f] = n, c
				}
			}
		}
		if len(all) > 200 {
			panic("the choices repeat themselves")
		}
		before := len(missing)
		for f := range row {
			for g := f + 1; g < len(row); g++ {
				delete(missing, pair{f, row[f], g, row[g]})
			}
		}
		if len(missing) == before { // whatever is left, one at a time
			for p := range missing {
				row[p.f], row[p.g] = p.a, p.b
				break
			}
			for f := range row {
				for g := f + 1; g < len(row); g++ {
					delete(missing, pair{f, row[f], g, row[g]})
				}
			}
		}
		all = append(all, row)
	}
	return all
}

// TestEveryKindOfTransaction takes a short way through all that is done in the application's transactions, for every pair of settings.
func TestEveryKindOfTransaction(t *testing.T) {
	t.Parallel()
	cfg := tables(t)
	locks := lease(t, cfg)
	var sizes []int
	for _, f := range factors {
		sizes = append(sizes, len(f))
	}
	for i, row := range pairs(sizes) {
		t.Run(fmt.Sprint(row), func(t *testing.T) {
			t.Parallel()
			c, opts := cfg.Clone(), new(sql.TxOptions)
			for f, choice := range row {
				factors[f][choice](c, opts)
			}
			everyKind(t, locks, c, opts, fmt.Sprintf("%d ", i))
		})
	}
}

func everyKind(t *testing.T, locks leaseholder, c *driver.Config, opts *sql.TxOptions, prefix string) {
	ctx := t.Context()
	app := leaseholder{table: mysql.Table(c), db: connect(t, c)}
	client := sqllock.New(app.table)
	defer func() {
		assert.NoError(t, client.Close(ctx))
		assert.NoError(t, app.table.Close(ctx))
	}()
	var held []*sqllock.Lock
	for _, name := range []string{"JOB", "job", "job ", "j\u00f6b\u20ac\U0001f512"} {
		l, err := client.Acquire(ctx, prefix+name)
		require.NoError(t, err)
		held = append(held, l)
		assert.WithinDuration(t, time.Now().Add(sqllock.DefaultTTL*9/10), l.Deadline(), time.Minute)
	}
	tx := app.begin(t, opts.Isolation)
	for _, l := range held {
		require.NoError(t, app.table.Guard(ctx, tx, l))
		require.ErrorIs(t, app.table.TryLockTx(ctx, tx, l.Name()), sqllock.ErrNotAcquired)
	}
	require.NoError(t, tx.Commit())
	stale := held[0]
	require.NoError(t, locks.client.ForceRelease(ctx, stale.Name()))
	tx = app.begin(t, opts.Isolation)
	require.ErrorIs(t, app.table.Guard(ctx, tx, stale), sqllock.ErrLost)
	require.NoError(t, tx.Rollback())
	for _, l := range held[1:] {
		require.NoError(t, l.Release(ctx))
	}
	tx = app.begin(t, opts.Isolation)
	for _, l := range held {
		require.NoError(t, app.table.LockTx(ctx, tx, l.Name()))
		_, err := locks.client.TryAcquire(ctx, l.Name())
		require.ErrorIs(t, err, sqllock.ErrNotAcquired)
	}
	require.NoError(t, tx.Commit())
	require.NoError(t, app.table.WithTxOptions(ctx, held[0].Name(), opts, func(tx *sql.Tx) error {
		_, err := locks.client.TryAcquire(ctx, held[0].Name())
		assert.ErrorIs(t, err, sqllock.ErrNotAcquired)
		return tx.QueryRowContext(ctx, "SELECT 1").Scan(new(int))
	}))
}
