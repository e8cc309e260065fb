package mysql_test

import (
	"context"
	"database/sql"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sqllock/toolkit/internal/testdb"
	"github.com/sqllock/toolkit/mysql"
	"github.com/sqllock/toolkit/sqllock"
)

// begin is a transaction of the application's, which is rolled back if it is not committed.
func (s *namedScene) begin() *sql.Tx {
	s.Helper()
	tx, err := s.db.BeginTx(s.Context(), nil)
	require.NoError(s, err)
	s.Cleanup(func() { _ = tx.Rollback() })
	return tx
}

// guarded guards a transaction that is rolled back at once.
func (s *namedScene) guarded(b *mysql.NamedBackend, l *sqllock.Lock) error {
	s.Helper()
	tx := s.begin()
	defer func() { require.NoError(s, tx.Rollback()) }()
	return b.Guard(s.Context(), tx, l)
}

// TestNamedGuardOutlivesItsSession ends the session of a holder between its guard and its commit. Nobody is granted the lock before that, and
// whoever has waited for the commit for longer than a session may be silent is granted one that is alive.
func TestNamedGuardOutlivesItsSession(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	for name, parked := range map[string]int{"Parked": 8, "Polling": 0} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newNamedScene(t)
			table := s.accountTable()
			b := s.backend(mysql.WithTokens())
			waiter := s.client(mysql.WithTokens(), mysql.SessionTimeout(namedGuarded), mysql.MaxParked(parked))
			other := s.client(mysql.WithTokens())
			held := s.acquire(s.clientOf(b), "n")
			tx := s.begin()
			require.NoError(t, b.Guard(ctx, tx, held))
			_, err := tx.Exec("UPDATE " + table + " SET n = 42")
			require.NoError(t, err)
			got := s.begins(waiter, "n")
			var session int64 // has the lock then, but may not use it yet
			if parked > 0 {
				s.eventually(func() bool { return len(s.waiting("n")) == 1 }, "it waits")
				session = s.waiting("n")[0]
			}
			s.terminate(s.holder("n"))
			s.ends(held)
			select {
			case g := <-got:
				t.Fatalf("granted while the transaction is open: %v", g.err)
			case <-time.After(namedGuarded * 4 / 3): // longer than a session may be silent
			}
			s.refused(other, "n")
			require.NoError(t, tx.Commit())
			l := s.granted(got, 0)
			require.NoError(t, l.Verify(ctx))
			if parked > 0 {
				assert.Equal(t, session, s.holder("n"), "it has not lost its place")
			}
			assert.Greater(t, l.Token(), held.Token())
			assert.EqualValues(t, 42, s.int("SELECT n FROM "+table), "whoever is next sees what was written")
			s.release(l)
		})
	}
}

// namedGuarded is a short session timeout.
const namedGuarded = 3 * time.Second

func TestNamedGuardFailsOnceTheLockIsGone(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	s := newNamedScene(t)
	b := s.backend(mysql.WithTokens())
	c, other := s.clientOf(b), s.client(mysql.WithTokens())

	released := s.acquire(c, "n")
	s.release(released)
	require.ErrorIs(t, s.guarded(b, released), sqllock.ErrReleased)

	forced := s.acquire(c, "n")
	require.NoError(t, other.ForceRelease(ctx, "n"))
	require.ErrorIs(t, s.guarded(b, forced), sqllock.ErrLost)

	// The holder cannot know yet, but the database does.
	for range 10 {
		killed := s.acquire(c, "n")
		s.kill("CONNECTION", s.holder("n"))
		s.free("n")
		next := s.acquire(other, "n")
		require.ErrorIs(t, s.guarded(b, killed), sqllock.ErrLost)
		require.ErrorIs(t, killed.Err(), sqllock.ErrLost)
		require.NoError(t, s.guarded(s.backend(mysql.WithTokens()), next), "any value of the backend will do")
		s.release(next)
		s.eventually(func() bool { return c.Ping(ctx) == nil }, "it connects again")
	}
}

// TestNamedForceReleaseWaitsForGuardedTransactions and says so only then.
func TestNamedForceReleaseWaitsForGuardedTransactions(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	s := newNamedScene(t)
	b := s.backend(mysql.WithTokens(), mysql.SessionTimeout(namedGuarded))
	held := s.acquire(s.clientOf(b), "n")
	other := s.client(mysql.WithTokens())
	tx := s.begin()
	require.NoError(t, b.Guard(ctx, tx, held))
	forced := make(chan error, 1)
	go func() { forced <- other.ForceRelease(ctx, "n") }()
	s.ends(held)
	s.refused(other, "n")
	select {
	case err := <-forced:
		t.Fatalf("it does not wait: %v", err)
	default:
	}
	require.NoError(t, tx.Commit())
	require.NoError(t, <-forced)
	assert.Greater(t, s.acquire(other, "n").Token(), held.Token()+1)
}

func TestNamedGuardSaysWhatItCannotDo(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	s := newNamedScene(t)
	b := s.backend(mysql.WithTokens())
	l := s.acquire(s.clientOf(b), "n")
	plain := s.backend()
	without := s.acquire(s.clientOf(plain), "m")
	require.ErrorIs(t, plain.Guard(ctx, s.begin(), without), sqllock.ErrUnsupported)

	another := namedSceneAt(t, testdb.StartMySQL(t).Config())
	migrate(t, another.cfg)
	another.exec("CREATE DATABASE " + s.cfg.DBName)
	there := another.cfg.Clone()
	there.DBName = s.cfg.DBName
	migrate(t, there)
	err := b.Guard(ctx, another.begin(), l)
	require.ErrorIs(t, err, sqllock.ErrInvalid)
	require.ErrorContains(t, err, "database")

	require.ErrorIs(t, s.backend(mysql.WithTokens(), mysql.Namespace("a")).Guard(ctx, s.begin(), l), sqllock.ErrInvalid)
	leases := sqllock.New(mysql.Table(s.cfg))
	t.Cleanup(func() { _ = leases.Close(ctx) })
	require.ErrorIs(t, b.Guard(ctx, s.begin(), s.acquire(leases, "n")), sqllock.ErrInvalid)
	require.NoError(t, l.Verify(ctx), "what went wrong was not the lock's fault")
	require.NoError(t, b.Guard(ctx, s.begin(), l))
}

// TestNamedWithTxWaitsForAGuardedTransaction whose lock was lost, as everybody does who is granted the lock with a token.
func TestNamedWithTxWaitsForAGuardedTransaction(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	s := newNamedScene(t)
	b, other := s.backend(mysql.WithTokens()), s.backend(mysql.WithTokens())
	held := s.acquire(s.clientOf(b), "n")
	tx := s.begin()
	require.NoError(t, b.Guard(ctx, tx, held))
	s.terminate(s.holder("n"))
	s.ends(held)

	short, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
	defer cancel()
	err := other.WithTx(short, "n", func(*sql.Tx) error { panic("while a transaction of the last holder is open") })
	require.ErrorIs(t, err, sqllock.ErrNotAcquired)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.NoError(t, tx.Commit())
	require.NoError(t, other.WithTx(ctx, "n", func(*sql.Tx) error { return nil }))
	require.ErrorIs(t, s.guarded(b, held), sqllock.ErrLost)
}
