package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sqllock/toolkit/internal/testdb"
	"github.com/sqllock/toolkit/postgres"
	"github.com/sqllock/toolkit/sqllock"
)

// quickNames has names written down after a fraction of a second: it follows from how often a session looks after itself.
func quickNames() postgres.Option { return postgres.SessionTimeout(3 * time.Second) }

// pid is the server process of a Client that is known by its owner.
func (s *scene) pid(owner string) (pid int64) {
	s.Helper()
	return s.int("SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name = $1", owner)
}

// TestAdvisoryLocksAreListedByNameOnceThatIsWrittenDown, and by their key before that; who takes part in them knows their names at once.
func TestAdvisoryLocksAreListedByNameOnceThatIsWrittenDown(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	a, b := s.named("a", quickNames()), s.named("b", quickNames())
	key := postgres.Advisory(s.pool).Key("n")
	l := s.acquire(a, "n")
	waiting := s.waits(b, "n")

	check := func(c *sqllock.Client) (named bool) {
		t.Helper()
		infos, err := c.Locks(t.Context())
		require.NoError(t, err)
		require.Len(t, infos, 2)
		for i, owner := range []string{"a", "b"} {
			assert.Equal(t, key, infos[i].Key)
			assert.Equal(t, owner, infos[i].Owner)
			assert.Equal(t, s.pid(owner), infos[i].PID)
			assert.Equal(t, i == 1, infos[i].Waiting)
			assert.Equal(t, sqllock.ModeExclusive, infos[i].Mode)
			assert.Contains(t, infos[i].Client, ":", "address and port")
			assert.Contains(t, []string{"", "n"}, infos[i].Name)
		}
		return infos[0].Name == "n" && infos[1].Name == "n"
	}
	require.True(t, check(a))
	require.True(t, check(b))
	infos, err := a.Locks(t.Context())
	require.NoError(t, err)
	assert.Equal(t, l.Token(), infos[0].Token, "its own")
	assert.WithinDuration(t, time.Now(), infos[0].Since, time.Minute)
	s.eventually(func() bool { return check(s.eyes) }, "the name is written down")
	s.release(l)
	s.release(s.granted(waiting, 0))
	s.eventually(func() bool { return len(s.infos("n")) == 0 }, "nothing is listed that nobody holds")

	// A lock that stays for an instant leaves nothing behind, or the table would grow with every name that was ever used.
	for i := range 50 {
		s.release(s.acquire(a, fmt.Sprint("instant ", i)))
	}
	require.Equal(t, int64(1), s.int("SELECT count(*) FROM sqllock_names"))
}

// TestAdvisoryWaitersKnowWhatTheyWaitFor without any schema, whoever holds it.
func TestAdvisoryWaitersKnowWhatTheyWaitFor(t *testing.T) {
	t.Parallel()
	s := sceneAt(t, testdb.Postgres(t))
	c := s.named("c")
	tx, err := s.session().Begin(t.Context())
	require.NoError(t, err)
	require.NoError(t, postgres.Advisory(s.pool).LockTx(t.Context(), tx, "n"))
	waiting := s.waits(c, "n")
	infos, err := c.Locks(t.Context())
	require.NoError(t, err)
	require.Len(t, infos, 2)
	assert.False(t, infos[0].Waiting)
	assert.Equal(t, int64(tx.Conn().PgConn().PID()), infos[0].PID)
	assert.True(t, infos[1].Waiting)
	assert.Equal(t, s.pid("c"), infos[1].PID)
	assert.Equal(t, []string{"n", "n"}, []string{infos[0].Name, infos[1].Name})
	require.NoError(t, tx.Rollback(t.Context()))
	s.release(s.granted(waiting, time.Second))
}

func TestAdvisoryLocksAreListedInEveryMode(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	a, b := s.named("a"), s.named("b")
	var held []*sqllock.Lock
	for _, c := range []*sqllock.Client{a, a, b} {
		held = append(held, s.acquire(c, "p", sqllock.Permits(5)))
	}
	for _, c := range []*sqllock.Client{a, a, b} {
		held = append(held, s.acquire(c, "s", sqllock.Shared()))
	}
	infos, err := a.Locks(t.Context())
	require.NoError(t, err)
	permits, readers, tokens := make(map[string]int), make(map[string]int), make(map[int64]bool)
	for _, i := range infos {
		switch i.Name {
		case "p":
			assert.Equal(t, sqllock.ModePermit, i.Mode)
			permits[i.Owner]++
			if i.Owner == "a" {
				assert.Equal(t, 5, i.Permits)
				tokens[i.Token] = true
			}
		case "s":
			assert.Equal(t, sqllock.ModeShared, i.Mode)
			readers[i.Owner]++
		}
	}
	assert.Equal(t, map[string]int{"a": 2, "b": 1}, permits, "once for each permit")
	assert.Equal(t, map[int64]bool{held[0].Token(): true, held[1].Token(): true}, tokens, "each with its own token")
	assert.Equal(t, map[string]int{"a": 1, "b": 1}, readers, "once for each session")
	s.release(held...)
}

// TestAdvisoryListsStrangersOnKnownKeysOnly: other applications use advisory locks too.
func TestAdvisoryListsStrangersOnKnownKeysOnly(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	ctx := t.Context()
	a := s.named("a", quickNames())
	l := s.acquire(a, "n")
	s.eventually(func() bool { return s.infos("n")[0].Name == "n" }, "the name is written down")
	s.release(l)

	stranger := s.session()
	key, err := strconv.ParseInt(postgres.Advisory(s.pool).Key("n"), 10, 64)
	require.NoError(t, err)
	_, err = stranger.Exec(ctx, "SELECT pg_advisory_lock($1), pg_advisory_lock(4711), pg_advisory_lock(47, 11), set_config('application_name', 'psql', false)", key)
	require.NoError(t, err)
	elsewhere := s.acquire(s.client(postgres.Namespace("elsewhere")), "n")
	tx, err := s.session().Begin(ctx)
	require.NoError(t, err)
	require.NoError(t, postgres.Advisory(s.pool).LockTx(ctx, tx, "name of a transaction, which nobody knows"))

	infos, err := s.eyes.Locks(ctx)
	require.NoError(t, err)
	require.Len(t, infos, 1)
	assert.Equal(t, "n", infos[0].Name)
	assert.Equal(t, "psql", infos[0].Owner)
	assert.Equal(t, int64(stranger.PgConn().PID()), infos[0].PID)
	_, err = stranger.Exec(ctx, "SELECT pg_advisory_unlock_all()")
	require.NoError(t, err)

	require.NoError(t, postgres.Advisory(s.pool).LockTx(ctx, tx, "n"))
	infos, err = s.eyes.Locks(ctx)
	require.NoError(t, err)
	require.Len(t, infos, 1)
	assert.Equal(t, int64(tx.Conn().PgConn().PID()), infos[0].PID)
	require.NoError(t, tx.Rollback(ctx))
	s.release(elsewhere)
}

func TestAdvisoryPurgeForgetsNamesThatAreNotUsed(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	ctx := t.Context()
	b := postgres.Advisory(s.pool)
	s.exec(`INSERT INTO sqllock_names (key, namespace, name, seen_at) VALUES
		(1, '', 'old', now() - interval '2 days'), (2, '', 'new', now()), (3, 'elsewhere', 'old', now() - interval '2 days')`)
	n, err := b.Purge(ctx, 24*time.Hour)
	require.NoError(t, err)
	assert.Equal(t, int64(1), n)
	assert.Equal(t, int64(2), s.int("SELECT count(*) FROM sqllock_names WHERE name = 'new' OR namespace = 'elsewhere'"))

	// Only lists use names: what is held stays held and its name is known to its holder.
	c := s.client(quickNames())
	l := s.acquire(c, "n")
	s.eventually(func() bool { return s.int("SELECT count(*) FROM sqllock_names WHERE name = 'n'") == 1 }, "the name is written down")
	n, err = b.Purge(ctx, 0)
	require.NoError(t, err)
	assert.Equal(t, int64(2), n)
	require.NoError(t, l.Verify(ctx))
	s.refused(s.client(), "n")
	require.Len(t, s.infos("n"), 1)
	assert.Empty(t, s.infos("n")[0].Name)
	s.release(l)
}

func TestAdvisoryForceReleaseTakesThatLockOnly(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	a, b, admin, follower := s.client(), s.client(), s.client(), s.client()
	for _, mode := range [][]sqllock.Option{nil, {sqllock.Shared()}, {sqllock.Permits(3)}} {
		var lost []*sqllock.Lock
		lost = append(lost, s.acquire(a, "n", mode...))
		if mode != nil {
			lost = append(lost, s.acquire(a, "n", mode...), s.acquire(b, "n", mode...))
		}
		kept := []*sqllock.Lock{s.acquire(a, "m", mode...), s.acquire(b, "m too", mode...)}
		next := s.waits(follower, "n")
		require.NoError(t, admin.ForceRelease(t.Context(), "n"))
		for _, l := range lost {
			require.ErrorIs(t, l.Verify(t.Context()), sqllock.ErrForced)
			require.ErrorIs(t, l.Release(t.Context()), sqllock.ErrLost)
		}
		for _, l := range kept {
			require.NoError(t, l.Verify(t.Context()))
		}
		s.release(append(kept, s.granted(next, 0))...)
	}
	require.NoError(t, admin.ForceRelease(t.Context(), "nobody's"))
	s.onlySessionsLeft()
}

// TestAdvisoryTerminateEndsWhomForceReleaseCannotAsk: a session that is not of the toolkit, whether or not the name of its lock is written down.
func TestAdvisoryTerminateEndsWhomForceReleaseCannotAsk(t *testing.T) {
	t.Parallel()
	for _, installed := range []bool{true, false} {
		t.Run(fmt.Sprint("schema ", installed), func(t *testing.T) {
			t.Parallel()
			s := sceneAt(t, testdb.Postgres(t))
			if installed {
				migrate(t, s.dsn)
			}
			ctx := t.Context()
			b := postgres.Advisory(s.pool)
			lockKey := func(names ...string) *pgx.Conn {
				conn := s.session()
				for _, name := range names {
					_, err := conn.Exec(ctx, "SELECT pg_advisory_lock($1::text::bigint)", b.Key(name))
					require.NoError(t, err)
				}
				return conn
			}
			stranger, other := lockKey("n", "m"), lockKey("another")
			pid := int64(stranger.PgConn().PID())

			impatient := s.client()
			require.NoError(t, impatient.Ping(ctx))
			var err error
			for d := 300 * time.Millisecond; d < time.Minute; d *= 2 { // on a busy machine it may not even have asked
				short, cancel := context.WithTimeout(ctx, d)
				err = impatient.ForceRelease(short, "n")
				cancel()
				require.ErrorIs(t, err, sqllock.ErrNotConfirmed)
				require.ErrorIs(t, err, context.DeadlineExceeded)
				if strings.Contains(err.Error(), fmt.Sprint(pid)) {
					break
				}
			}
			require.ErrorContains(t, err, fmt.Sprint(pid))
			require.NoError(t, stranger.Ping(ctx))

			freed, err := b.Terminate(ctx, "n")
			require.NoError(t, err)
			require.Len(t, freed, 1, "what is known of it")
			assert.Equal(t, "n", freed[0].Name)
			assert.Equal(t, pid, freed[0].PID)
			require.Error(t, stranger.Ping(ctx))
			l, err := s.client().TryAcquire(ctx, "n")
			require.NoError(t, err, "it is free")
			require.NoError(t, other.Ping(ctx))
			s.refused(s.client(), "another")

			// One of ours: everything that its session held is freed, and told.
			s.release(l)
			victim := s.named("victim")
			held := []*sqllock.Lock{
				s.acquire(victim, "n"), s.acquire(victim, "1"), s.acquire(victim, "2", sqllock.Shared()),
				s.acquire(victim, "3", sqllock.Permits(3)), s.acquire(victim, "3", sqllock.Permits(3)),
			}
			waits := s.waits(victim, "another")
			pid = s.pid("victim")
			freed, err = b.Terminate(ctx, "n")
			require.NoError(t, err)
			keys := make(map[string]int)
			for _, i := range freed {
				assert.Equal(t, pid, i.PID)
				assert.False(t, i.Waiting)
				keys[i.Key]++
			}
			assert.Equal(t, map[string]int{b.Key("n"): 1, b.Key("1"): 1, b.Key("2"): 1, b.Key("3"): 2}, keys)
			for _, l := range held {
				<-l.Done()
				require.ErrorIs(t, l.Err(), sqllock.ErrLost)
			}
			freed, err = b.Terminate(ctx, "n")
			require.NoError(t, err, "nobody holds it")
			require.Empty(t, freed)
			freed, err = b.Terminate(ctx, "another")
			require.NoError(t, err)
			require.Len(t, freed, 1)
			s.release(s.granted(waits, time.Second)) // who waits outlives its session
			_, err = b.Terminate(ctx, "")
			require.True(t, errors.Is(err, sqllock.ErrInvalid))
		})
	}
}
