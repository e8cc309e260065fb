package postgres_test

import (
	"context"
	"database/sql"
	"errors"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sqllock/toolkit/postgres"
	"github.com/sqllock/toolkit/sqllock"
)

// userTx is a transaction of an application, of whichever library.
type userTx struct {
	lock, try func(ctx context.Context, name string) error
	exec      func(query string) error
	text      func(query string) string
	commit    func() error
}

// forBothLibraries runs test with a pgx.Tx and with a *sql.Tx. begin gets statements to run on the connection before the transaction.
func forBothLibraries(t *testing.T, test func(s *scene, begin func(level, before string) userTx)) {
	t.Run("pgx", func(t *testing.T) {
		t.Parallel()
		s := newScene(t)
		b := postgres.Advisory(s.pool)
		test(s, func(level, before string) userTx {
			conn := s.session()
			_, err := conn.Exec(t.Context(), before)
			require.NoError(t, err)
			tx, err := conn.BeginTx(t.Context(), pgx.TxOptions{IsoLevel: pgx.TxIsoLevel(level)})
			require.NoError(t, err)
			return userTx{
				lock: func(ctx context.Context, name string) error { return b.LockTx(ctx, tx, name) },
				try:  func(ctx context.Context, name string) error { return b.TryLockTx(ctx, tx, name) },
				exec: func(query string) error {
					_, err := conn.Exec(t.Context(), query)
					return err
				},
				text: func(query string) (v string) {
					require.NoError(t, conn.QueryRow(t.Context(), query).Scan(&v), query)
					return v
				},
				commit: func() error { return tx.Commit(t.Context()) },
			}
		})
	})
	t.Run("database/sql", func(t *testing.T) {
		t.Parallel()
		s := newScene(t)
		b := postgres.Advisory(s.pool)
		test(s, func(level, before string) userTx {
			conn, err := connect(t, s.dsn).Conn(t.Context())
			require.NoError(t, err)
			t.Cleanup(func() { _ = conn.Close() })
			_, err = conn.ExecContext(t.Context(), before)
			require.NoError(t, err)
			levels := map[string]sql.IsolationLevel{
				"": sql.LevelDefault, "read committed": sql.LevelReadCommitted, "repeatable read": sql.LevelRepeatableRead, "serializable": sql.LevelSerializable,
			}
			tx, err := conn.BeginTx(t.Context(), &sql.TxOptions{Isolation: levels[level]})
			require.NoError(t, err)
			return userTx{
				lock: func(ctx context.Context, name string) error { return b.LockSQLTx(ctx, tx, name) },
				try:  func(ctx context.Context, name string) error { return b.TryLockSQLTx(ctx, tx, name) },
				exec: func(query string) error {
					_, err := conn.ExecContext(t.Context(), query)
					return err
				},
				text: func(query string) (v string) {
					require.NoError(t, conn.QueryRowContext(t.Context(), query).Scan(&v), query)
					return v
				},
				commit: tx.Commit,
			}
		})
	})
}

const (
	timeouts = "SELECT current_setting('lock_timeout') || ' ' || current_setting('statement_timeout')"
	ownLocks = "SELECT count(*)::text FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()"
)

// TestAdvisoryFailedLockTxLeavesTheTransactionAsItWas: usable, with its own settings, and without the locks of the attempt.
func TestAdvisoryFailedLockTxLeavesTheTransactionAsItWas(t *testing.T) {
	t.Parallel()
	forBothLibraries(t, func(s *scene, begin func(level, before string) userTx) {
		ctx := s.Context()
		s.exec("CREATE TABLE data (i int)")
		holder := s.client()
		held := s.acquire(holder, "held")
		// Nobody holds this one, but a transaction that its holder has guarded is open: the key can be had, the barrier cannot.
		guarded := s.acquire(holder, "guarded")
		guard, err := s.session().Begin(ctx)
		require.NoError(s, err)
		require.NoError(s, postgres.Advisory(s.pool).Guard(ctx, guard, guarded))
		s.release(guarded)

		for _, settings := range [][2]string{ // within the transaction, and what it then reads
			{"SET LOCAL lock_timeout = '7s'; SET statement_timeout = '11s'", "7s 11s"},
			{"SET LOCAL lock_timeout = 7001; SET LOCAL statement_timeout = '2min'", "7001ms 2min"},
			{"SET lock_timeout = '1h'", "1h 90s"},
			{"SELECT 1", "3s 90s"},
		} {
			tx := begin("", "SET lock_timeout = '3s'; SET statement_timeout = '90s'")
			require.NoError(s, tx.exec(settings[0]))
			require.NoError(s, tx.exec("INSERT INTO data VALUES (1)"))
			for _, name := range []string{"held", "guarded"} {
				err := tx.try(ctx, name)
				require.ErrorIs(s, err, sqllock.ErrNotAcquired)
				require.Equal(s, settings[1], tx.text(timeouts))
				require.Equal(s, "0", tx.text(ownLocks))

				short, cancel := context.WithTimeout(ctx, 30*time.Millisecond)
				err = tx.lock(short, name)
				cancel()
				require.ErrorIs(s, err, sqllock.ErrNotAcquired)
				require.ErrorIs(s, err, context.DeadlineExceeded)
				require.Equal(s, settings[1], tx.text(timeouts))
				require.Equal(s, "0", tx.text(ownLocks))
			}
			require.NoError(s, tx.lock(ctx, "free"))
			require.NoError(s, tx.try(ctx, "free too"))
			require.NoError(s, tx.try(ctx, "free"), "it has that already")
			require.Equal(s, settings[1], tx.text(timeouts))
			s.refused(holder, "free")
			require.NoError(s, tx.commit())
			s.release(s.acquire(holder, "free"))
			if after := tx.text(timeouts); settings[0] == "SET lock_timeout = '1h'" {
				require.Equal(s, "1h 90s", after, "what the session was set to in the transaction, it keeps")
			} else {
				require.Regexp(s, "^3s ", after)
			}
		}
		require.Equal(s, int64(4), s.int("SELECT count(*) FROM data"))
		s.release(held)
	})
}

// TestAdvisoryLockTxRefusesOlderSnapshots: with those the transaction would not see what the previous holder committed.
func TestAdvisoryLockTxRefusesOlderSnapshots(t *testing.T) {
	t.Parallel()
	forBothLibraries(t, func(s *scene, begin func(level, before string) userTx) {
		for _, level := range []string{"repeatable read", "serializable"} {
			tx := begin(level, "SELECT 1")
			for _, lock := range []func(context.Context, string) error{tx.lock, tx.try} {
				err := lock(s.Context(), "n")
				require.ErrorIs(s, err, sqllock.ErrUnsupported)
				require.NotErrorIs(s, err, sqllock.ErrNotAcquired)
				require.ErrorContains(s, err, "WithTx")
			}
			require.Equal(s, "0", tx.text(ownLocks))
			require.NoError(s, tx.commit())
		}
		tx := begin("read committed", "SELECT 1")
		require.NoError(s, tx.try(s.Context(), "n"))
		require.NoError(s, tx.commit())
		s.onlySessionsLeft()
	})
}

func TestAdvisoryLockTxIsReleasedByRollbackToASavepoint(t *testing.T) {
	t.Parallel()
	forBothLibraries(t, func(s *scene, begin func(level, before string) userTx) {
		ctx := s.Context()
		c := s.client()
		tx := begin("", "SELECT 1")
		require.NoError(s, tx.lock(ctx, "before"))
		require.NoError(s, tx.exec("SAVEPOINT mine"))
		require.NoError(s, tx.lock(ctx, "after"))
		s.refused(c, "after")
		require.NoError(s, tx.exec("ROLLBACK TO SAVEPOINT mine"))
		l, err := c.TryAcquire(ctx, "after")
		require.NoError(s, err)
		s.refused(c, "before")
		require.ErrorIs(s, tx.try(ctx, "after"), sqllock.ErrNotAcquired)
		s.release(l)
		require.NoError(s, tx.try(ctx, "after"))
		require.NoError(s, tx.commit())
		s.onlySessionsLeft()
	})
}

// TestAdvisoryWithTxReadsWhatThePreviousHolderCommitted at the levels whose snapshot is taken once: that of the transaction must be taken
// after the lock. If it were not, all but one of the updates would be serialization failures, and the reading be of the past.
func TestAdvisoryWithTxReadsWhatThePreviousHolderCommitted(t *testing.T) {
	t.Parallel()
	const parties, rounds = 4, 6
	s := newScene(t)
	ctx := t.Context()
	s.exec("CREATE TABLE counter (n int NOT NULL); INSERT INTO counter VALUES (0)")
	db := connect(t, s.dsn)
	read, update := "SELECT n FROM counter", "UPDATE counter SET n = n + 1"
	increments := []func(b *postgres.AdvisoryBackend, level int) error{
		func(b *postgres.AdvisoryBackend, level int) error {
			opts := pgx.TxOptions{IsoLevel: []pgx.TxIsoLevel{pgx.RepeatableRead, pgx.Serializable}[level]}
			return b.WithTxOptions(ctx, "n", opts, func(tx pgx.Tx) error {
				var n int
				err := tx.QueryRow(ctx, read).Scan(&n)
				_, err2 := tx.Exec(ctx, update)
				return errors.Join(err, err2)
			})
		},
		func(b *postgres.AdvisoryBackend, level int) error {
			opts := &sql.TxOptions{Isolation: []sql.IsolationLevel{sql.LevelRepeatableRead, sql.LevelSerializable}[level]}
			return b.WithSQLTx(ctx, db, "n", opts, func(tx *sql.Tx) error {
				var n int
				err := tx.QueryRowContext(ctx, read).Scan(&n)
				_, err2 := tx.ExecContext(ctx, update)
				return errors.Join(err, err2)
			})
		},
	}
	ended := make(chan error, parties)
	for i := range parties {
		b := postgres.Advisory(s.pool)
		t.Cleanup(func() { assert.NoError(t, b.Close(context.Background())) })
		go func() {
			var failed error
			for round := range rounds {
				failed = errors.Join(failed, increments[i%2](b, round%2))
			}
			ended <- failed
		}()
	}
	for range parties {
		require.NoError(t, <-ended)
	}
	require.Equal(t, int64(parties*rounds), s.int(read))

	b := postgres.Advisory(s.pool)
	t.Cleanup(func() { assert.NoError(t, b.Close(context.Background())) })
	readOnly := func(n int, err error) error {
		var pg *pgconn.PgError
		require.ErrorAs(t, err, &pg)
		require.Equal(t, "25006", pg.Code, "it cannot write")
		require.Equal(t, parties*rounds, n)
		s.refused(s.client(), "n")
		return err
	}
	err := b.WithTxOptions(ctx, "n", pgx.TxOptions{IsoLevel: pgx.Serializable, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		var n int
		require.NoError(t, tx.QueryRow(ctx, read).Scan(&n))
		_, err := tx.Exec(ctx, update)
		return readOnly(n, err)
	})
	require.ErrorContains(t, err, "read-only")
	err = b.WithSQLTx(ctx, db, "n", &sql.TxOptions{ReadOnly: true}, func(tx *sql.Tx) error {
		var n int
		require.NoError(t, tx.QueryRowContext(ctx, read).Scan(&n))
		_, err := tx.ExecContext(ctx, update)
		return readOnly(n, err)
	})
	require.ErrorContains(t, err, "read-only")
	require.NoError(t, b.WithTxOptions(ctx, "n", pgx.TxOptions{AccessMode: pgx.ReadOnly}, func(pgx.Tx) error { return nil }))
	s.onlySessionsLeft()
}
