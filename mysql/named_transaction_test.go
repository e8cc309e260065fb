package mysql_test

import (
	"context"
	"database/sql"
	"errors"
	"testing"
	"time"

	driver "github.com/go-sql-driver/mysql"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sqllock/toolkit/sqllock"
)

// accountTable makes a table with one row, whose n is 0.
func (s *namedScene) accountTable() (table string) {
	s.Helper()
	table = s.cfg.DBName + ".account"
	s.exec("CREATE TABLE " + table + " (n INT NOT NULL) ENGINE = InnoDB")
	s.exec("INSERT INTO " + table + " VALUES (0)")
	return table
}

// TestNamedWithTxCommitsBeforeItReleases at every level of isolation: nobody loses an update that is read first.
func TestNamedWithTxCommitsBeforeItReleases(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	for _, level := range []sql.IsolationLevel{sql.LevelDefault, sql.LevelReadCommitted, sql.LevelRepeatableRead, sql.LevelSerializable} {
		t.Run(level.String(), func(t *testing.T) {
			t.Parallel()
			s := newNamedScene(t)
			table := s.accountTable()
			b := s.backend()
			const workers, rounds = 4, 10
			done := make(chan error, workers)
			for range workers {
				go func() {
					var err error
					for range rounds {
						err = errors.Join(err, b.WithTxOptions(ctx, "n", &sql.TxOptions{Isolation: level}, func(tx *sql.Tx) error {
							var n int
							if err := tx.QueryRow("SELECT n FROM " + table).Scan(&n); err != nil {
								return err
							}
							_, err := tx.Exec("UPDATE "+table+" SET n = ?", n+1)
							return err
						}))
					}
					done <- err
				}()
			}
			for range workers {
				require.NoError(t, <-done)
			}
			assert.EqualValues(t, workers*rounds, s.int("SELECT n FROM "+table))
			s.free("n")
		})
	}
}

// TestNamedWithTxLeavesNothingBehind when fn fails, panics, or takes user locks of its own.
func TestNamedWithTxLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	s := newNamedScene(t)
	table := s.accountTable()
	b := s.backend()
	write := func(tx *sql.Tx) {
		_, err := tx.Exec("UPDATE " + table + " SET n = n + 1")
		require.NoError(t, err)
	}
	errOwn := errors.New("fn's own")
	require.ErrorIs(t, b.WithTx(ctx, "n", func(tx *sql.Tx) error {
		write(tx)
		return errOwn
	}), errOwn)
	require.PanicsWithValue(t, "fn's own", func() {
		_ = b.WithTx(ctx, "n", func(tx *sql.Tx) error {
			write(tx)
			panic("fn's own")
		})
	})
	require.NoError(t, b.WithTx(ctx, "n", func(tx *sql.Tx) error {
		return tx.QueryRow("SELECT GET_LOCK(?, 0) + GET_LOCK('"+s.cfg.DBName+"', 0)", s.key("n")).Scan(new(int))
	}))
	s.free("n")
	assert.Zero(t, s.int("SELECT COALESCE(IS_USED_LOCK(?), 0)", s.cfg.DBName), "what fn has locked is free")
	assert.Zero(t, s.int("SELECT n FROM "+table))
	leaving, cancel := context.WithCancel(ctx)
	require.ErrorIs(t, b.WithTx(leaving, "n", func(tx *sql.Tx) error {
		write(tx)
		cancel()
		return nil
	}), context.Canceled)
	s.free("n")
	s.eventually(func() bool {
		return s.int("SELECT COUNT(*) FROM information_schema.INNODB_TRX") == 0 || s.int("SELECT n FROM "+table) == 0
	}, "rolled back")
	assert.Zero(t, s.int("SELECT n FROM "+table))
}

// TestNamedWithTxExcludesAndWaits for locks of the same name, until its context ends.
func TestNamedWithTxExcludesAndWaits(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	s := newNamedScene(t)
	b := s.backend()
	c := s.clientOf(b)
	held := s.acquire(c, "n")
	start := time.Now() // before that of the context
	short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	err := b.WithTx(short, "n", func(*sql.Tx) error { t.Error("two hold n"); return nil })
	require.ErrorIs(t, err, sqllock.ErrNotAcquired)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.GreaterOrEqual(t, time.Since(start), 50*time.Millisecond)
	s.eventually(func() bool { return len(s.waiting("n")) == 0 }, "who has given up waits no longer")
	done := make(chan error, 1)
	go func() {
		done <- b.WithTx(ctx, "n", func(*sql.Tx) error {
			s.refused(c, "n")
			_, err := c.Acquire(ctx, "n", sqllock.Wait(time.Second))
			assert.ErrorIs(t, err, sqllock.ErrNotAcquired)
			return nil
		})
	}()
	s.eventually(func() bool { return len(s.waiting("n")) == 1 }, "the transaction waits")
	for range 5 { // what is not for the one who waits
		for _, id := range s.waiting("n") {
			s.kill("QUERY", id)
		}
	}
	s.release(held)
	require.NoError(t, <-done)
	s.free("n")
	for range 20 {
		ended, cancel := context.WithCancel(ctx)
		cancel()
		require.Error(t, b.WithTx(ended, "n", nil))
	}
	require.ErrorIs(t, b.WithTx(ctx, "", nil), sqllock.ErrInvalid)
}

// TestNamedWithTxOfAKilledSessionIsRolledBackFirst: the next holder never sees what it has written, nor waits for its rows.
func TestNamedWithTxOfAKilledSessionIsRolledBackFirst(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	s := newNamedScene(t)
	table := s.accountTable()
	b := s.backend()
	c := s.client()
	for range 10 {
		var got <-chan namedGrant
		err := b.WithTx(ctx, "n", func(tx *sql.Tx) error {
			_, err := tx.Exec("UPDATE " + table + " SET n = 42")
			require.NoError(t, err)
			got = s.waits(c, "n")
			s.kill("CONNECTION", s.holder("n"))
			return nil
		})
		require.Error(t, err)
		require.NotErrorIs(t, err, sqllock.ErrNotAcquired)
		l := s.granted(got, 0)
		locked, err := s.db.BeginTx(ctx, nil)
		require.NoError(t, err)
		var n int
		require.NoError(t, locked.QueryRow("SELECT n FROM "+table+" FOR UPDATE").Scan(&n))
		assert.Zero(t, n)
		require.NoError(t, locked.Rollback())
		s.release(l)
	}
}

// TestNamedWithTxDiscardsADoubtfulConnection: if the transaction may still be open, the lock must not be free, and nobody else may be given the
// connection.
func TestNamedWithTxDiscardsADoubtfulConnection(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	s := newNamedScene(t)
	table := s.accountTable()
	b := s.configured(func(c *driver.Config) { c.ReadTimeout = 300 * time.Millisecond })
	var session int64
	err := b.WithTx(ctx, "n", func(tx *sql.Tx) error {
		require.NoError(t, tx.QueryRow("SELECT CONNECTION_ID()").Scan(&session))
		_, err := tx.Exec("UPDATE " + table + " SET n = 1")
		require.NoError(t, err)
		_, err = tx.Exec("DO SLEEP(1)")
		return err
	})
	require.Error(t, err)
	s.free("n")
	require.NoError(t, b.WithTx(ctx, "n", func(tx *sql.Tx) error {
		var n, now int64
		require.NoError(t, tx.QueryRow("SELECT n, CONNECTION_ID() FROM "+table+" FOR UPDATE").Scan(&n, &now))
		assert.Zero(t, n)
		assert.NotEqual(t, session, now)
		return nil
	}))
}
