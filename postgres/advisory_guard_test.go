package postgres_test

import (
	"context"
	"database/sql"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sqllock/toolkit/internal/testdb"
	"github.com/sqllock/toolkit/postgres"
	"github.com/sqllock/toolkit/sqllock"
)

// guardedWrite is a transaction of either kind that is guarded and has written, but not committed.
type guardedWrite interface {
	Exec(ctx context.Context, query string) error
	Commit(ctx context.Context) error
	Rollback(ctx context.Context) error
}

type guardedPgx struct{ pgx.Tx }

func (g guardedPgx) Exec(ctx context.Context, query string) error {
	_, err := g.Tx.Exec(ctx, query)
	return err
}

type guardedSQL struct{ tx *sql.Tx }

func (g guardedSQL) Exec(ctx context.Context, query string) error {
	_, err := g.tx.ExecContext(ctx, query)
	return err
}

func (g guardedSQL) Commit(context.Context) error { return g.tx.Commit() }

func (g guardedSQL) Rollback(context.Context) error { return g.tx.Rollback() }

// guards are the two ways to guard a transaction.
var guards = map[string]func(s *scene, l *sqllock.Lock) guardedWrite{
	"Pgx": func(s *scene, l *sqllock.Lock) guardedWrite {
		s.Helper()
		tx, err := s.pool.Begin(s.Context())
		require.NoError(s, err)
		s.Cleanup(func() { _ = tx.Rollback(context.Background()) })
		require.NoError(s, postgres.Advisory(s.pool).Guard(s.Context(), tx, l))
		return guardedPgx{tx}
	},
	"SQL": func(s *scene, l *sqllock.Lock) guardedWrite {
		s.Helper()
		tx, err := connect(s, s.dsn).BeginTx(s.Context(), nil)
		require.NoError(s, err)
		s.Cleanup(func() { _ = tx.Rollback() })
		require.NoError(s, postgres.Advisory(s.pool).GuardSQL(s.Context(), tx, l))
		return guardedSQL{tx}
	},
}

// TestAdvisoryGuardOutlivesItsSession ends the session of a holder between its guard and its commit. The server has nothing then that
// says that the lock is held, and still nobody whom the holder excludes gets it before the commit.
func TestAdvisoryGuardOutlivesItsSession(t *testing.T) {
	t.Parallel()
	exclusive, shared := []sqllock.Option{}, []sqllock.Option{sqllock.Shared()}
	permit, permits := []sqllock.Option{sqllock.Permits(1)}, []sqllock.Option{sqllock.Permits(2)}
	for name, c := range map[string]struct{ mode, next []sqllock.Option }{
		"WriterThenWriter":   {exclusive, exclusive},
		"WriterThenReader":   {exclusive, shared},
		"WriterThenPermit":   {exclusive, permit},
		"ReaderThenWriter":   {shared, exclusive},
		"ReaderThenPermit":   {shared, permit},
		"PermitThenWriter":   {permit, exclusive},
		"PermitThenReader":   {permit, shared},
		"PermitThenPermit":   {permit, permit},
		"PermitsThenWriter":  {permits, exclusive},
		"PermitsThenPermits": {permits, permits},
	} {
		for kind, guard := range guards {
			t.Run(name+kind, func(t *testing.T) {
				t.Parallel()
				ctx := t.Context()
				s := newScene(t)
				s.exec("CREATE TABLE account (n integer NOT NULL); INSERT INTO account VALUES (0)")
				holder, waiter, other := s.client(), s.client(), s.client()
				held := s.acquire(holder, "n", c.mode...)
				session := s.sessionOf("n", false)
				if name == "PermitsThenPermits" {
					s.acquire(other, "n", permits...) // the second of two
				}
				tx := guard(s, held)
				require.NoError(t, tx.Exec(ctx, "UPDATE account SET n = 42"))
				s.terminate(session)
				s.ends(held)

				got := s.waits(waiter, "n", c.next...)
				for range 20 {
					s.refused(other, "n", c.next...)
				}
				select {
				case g := <-got:
					t.Fatalf("granted while the transaction is open: %v", g.err)
				default:
				}
				require.NoError(t, tx.Commit(ctx))
				l := s.granted(got, 0)
				assert.EqualValues(t, 42, s.int("SELECT n FROM account"), "whoever is next sees what was written")
				s.release(l)
			})
		}
	}
}

// TestAdvisoryGuardedReadersShare has readers come while the transaction of another one is open, whose session may have ended.
func TestAdvisoryGuardedReadersShare(t *testing.T) {
	t.Parallel()
	for kind, guard := range guards {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			ctx := t.Context()
			s := newScene(t)
			first, second := s.client(), s.client()
			held := s.acquire(first, "n", sqllock.Shared())
			tx := guard(s, held)
			read := func() {
				t.Helper()
				l, err := second.TryAcquire(ctx, "n", sqllock.Shared())
				require.NoError(t, err)
				require.NoError(t, guard(s, l).Commit(ctx))
				s.release(l)
			}
			read()
			s.terminate(s.sessionOf("n", false))
			s.ends(held)
			read()
			s.refused(second, "n")
			require.NoError(t, tx.Rollback(ctx))
			s.release(s.acquire(second, "n"))
		})
	}
}

// TestAdvisoryGuardedPermitsShare leaves those permits to others that no guarded transaction depends on.
func TestAdvisoryGuardedPermitsShare(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	s := newScene(t)
	first, second := s.client(), s.client()
	held := s.acquire(first, "n", sqllock.Permits(3))
	tx := guards["Pgx"](s, held)
	s.terminate(s.sessionOf("n", false))
	s.ends(held)
	two := []*sqllock.Lock{s.acquire(second, "n", sqllock.Permits(3)), s.acquire(second, "n", sqllock.Permits(3))}
	s.refused(second, "n", sqllock.Permits(3))
	s.refused(first, "n", sqllock.Permits(3))
	require.NoError(t, tx.Commit(ctx))
	s.release(append(two, s.acquire(first, "n", sqllock.Permits(3)))...)
	s.onlySessionsLeft()
}

// TestAdvisoryGuardIsForThisDatabase guards a transaction of a database that knows nothing of the session.
func TestAdvisoryGuardIsForThisDatabase(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	s, elsewhere := newScene(t), newScene(t)
	c := s.client()
	b := postgres.Advisory(s.pool)
	for name, mode := range map[string][]sqllock.Option{"x": nil, "s": {sqllock.Shared()}, "p": {sqllock.Permits(2)}} {
		l := s.acquire(c, name, mode...)
		tx, err := elsewhere.pool.Begin(ctx)
		require.NoError(t, err)
		require.ErrorIs(t, b.Guard(ctx, tx, l), sqllock.ErrLost)
		require.NoError(t, tx.Rollback(ctx))
		stx, err := connect(t, testdb.Postgres(t)).BeginTx(ctx, nil)
		require.NoError(t, err)
		require.ErrorIs(t, b.GuardSQL(ctx, stx, l), sqllock.ErrLost)
		require.NoError(t, stx.Rollback())

		require.NoError(t, l.Verify(ctx), "the lock itself is held as before")
		require.NoError(t, guards["Pgx"](s, l).Commit(ctx))
		s.release(l)
	}
}

// TestAdvisoryGuardAfterTheSessionFails guards a transaction when the session has just ended, before and after somebody else was granted the
// lock. Whether the holder has been told yet does not matter.
func TestAdvisoryGuardAfterTheSessionFails(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	s := newScene(t)
	next := s.client()
	b := postgres.Advisory(s.pool)
	for _, taken := range []bool{false, true} {
		for name, mode := range map[string][]sqllock.Option{"x": nil, "s": {sqllock.Shared()}, "p": {sqllock.Permits(1)}} {
			c := s.client()
			l := s.acquire(c, name, mode...)
			tx, err := s.pool.Begin(ctx)
			require.NoError(t, err)
			t.Cleanup(func() { _ = tx.Rollback(context.Background()) })
			pid := s.sessionOf(name, false)
			s.exec("SELECT pg_terminate_backend($1)", pid)
			if taken {
				s.release(s.acquire(next, name)) // which excludes all modes, so that the session has ended
			}
			err = b.Guard(ctx, tx, l)
			if err == nil {
				// The server had not got round to it yet, and then it must be as if it had come after the guard.
				require.False(t, taken)
				s.eventually(func() bool { return s.int("SELECT count(*) FROM pg_stat_activity WHERE pid = $1", pid) == 0 }, "the session ends")
				s.refused(next, name)
			} else {
				require.ErrorIs(t, err, sqllock.ErrLost)
			}
			require.NoError(t, tx.Rollback(ctx))
			s.release(s.acquire(next, name))
		}
	}
}
