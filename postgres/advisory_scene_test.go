package postgres_test

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sqllock/toolkit/internal/testdb"
	"github.com/sqllock/toolkit/postgres"
	internal "github.com/sqllock/toolkit/postgres/internal/advisory"
	"github.com/sqllock/toolkit/sqllock"
)

// sceneSlack is what a bound allows beyond what is promised. It is shorter than the session timeout, so that a takeover by that is told apart.
const sceneSlack = 10 * time.Second

// scene is a database in which Clients of Advisory meet, with a pool to look at it.
type scene struct {
	*testing.T
	dsn  string
	pool *pgxpool.Pool
	eyes *sqllock.Client // lists locks, and holds none
}

// newScene is a scene with the toolkit's schema in it.
func newScene(t *testing.T) *scene {
	t.Helper()
	dsn := testdb.Postgres(t)
	migrate(t, dsn)
	return sceneAt(t, dsn)
}

func sceneAt(t *testing.T, dsn string) *scene {
	t.Helper()
	s := &scene{T: t, dsn: dsn, pool: poolAt(t, dsn)}
	s.eyes = s.client()
	return s
}

func poolAt(t *testing.T, dsn string) *pgxpool.Pool {
	t.Helper()
	pool, err := pgxpool.New(t.Context(), dsn)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	return pool
}

// client is a Client with a session of its own: to the server it is another process.
func (s *scene) client(opts ...postgres.Option) *sqllock.Client {
	s.Helper()
	return s.named("", opts...)
}

func (s *scene) named(owner string, opts ...postgres.Option) *sqllock.Client {
	s.Helper()
	c := sqllock.New(postgres.Advisory(s.pool, opts...), sqllock.Owner(owner))
	s.Cleanup(func() { assert.NoError(s, c.Close(context.Background())) })
	return c
}

// session is a connection that is not of the toolkit.
func (s *scene) session() *pgx.Conn {
	s.Helper()
	conn, err := pgx.Connect(s.Context(), s.dsn)
	require.NoError(s, err)
	s.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

func (s *scene) exec(query string, args ...any) {
	s.Helper()
	_, err := s.pool.Exec(s.Context(), query, args...)
	require.NoError(s, err, query)
}

func (s *scene) int(query string, args ...any) (n int64) {
	s.Helper()
	require.NoError(s, s.pool.QueryRow(s.Context(), query, args...).Scan(&n), query)
	return n
}

func (s *scene) acquire(c *sqllock.Client, name string, opts ...sqllock.Option) *sqllock.Lock {
	s.Helper()
	l, err := c.Acquire(s.Context(), name, append([]sqllock.Option{sqllock.Wait(sceneSlack)}, opts...)...)
	require.NoError(s, err)
	return l
}

func (s *scene) release(locks ...*sqllock.Lock) {
	s.Helper()
	for _, l := range locks {
		require.NoError(s, l.Release(s.Context()))
	}
}

func (s *scene) refused(c *sqllock.Client, name string, opts ...sqllock.Option) {
	s.Helper()
	_, err := c.TryAcquire(s.Context(), name, opts...)
	require.ErrorIs(s, err, sqllock.ErrNotAcquired)
}

// grant is what somebody who waits gets.
type grant struct {
	lock *sqllock.Lock
	err  error
}

// waits begins to acquire what nobody else waits for, and returns when the server knows of the waiter.
func (s *scene) waits(c *sqllock.Client, name string, opts ...sqllock.Option) <-chan grant {
	s.Helper()
	s.eventually(func() bool { return s.waiters(name) == 0 }, "nobody waits")
	got := make(chan grant, 1)
	go func() {
		l, err := c.Acquire(s.Context(), name, opts...)
		got <- grant{l, err}
	}()
	s.eventually(func() bool {
		select {
		case g := <-got:
			s.Fatalf("ended instead of waiting: %v, %v; now %v", g.lock, g.err, s.infos(name))
		default:
		}
		return s.waiters(name) == 1
	}, "somebody waits")
	return got
}

// granted is the lock that somebody has waited for, which must come within d and what slow machines need.
func (s *scene) granted(got <-chan grant, d time.Duration) *sqllock.Lock {
	s.Helper()
	select {
	case g := <-got:
		require.NoError(s, g.err)
		return g.lock
	case <-time.After(d + sceneSlack):
		s.Fatalf("not granted within %v and %v", d, sceneSlack)
		return nil
	}
}

// infos are those of a name, or of its key where the name is not known.
func (s *scene) infos(name string) (of []sqllock.LockInfo) {
	s.Helper()
	all, err := s.eyes.Locks(s.Context())
	require.NoError(s, err)
	key := postgres.Advisory(s.pool).Key(name)
	for _, i := range all {
		if i.Key == key {
			of = append(of, i)
		}
	}
	return of
}

// waiters is how many sessions that do not hold a name have told the server that they want it. Those that have had it lately may be among them.
func (s *scene) waiters(name string) int {
	s.Helper()
	key := uint64(internal.KeyOf("", name))
	sum := sha256.Sum256(binary.BigEndian.AppendUint64(nil, key))
	const query = `WITH here AS (
			SELECT * FROM pg_locks WHERE locktype = 'advisory' AND granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
		)
		SELECT count(*) FROM here WHERE objsubid = 2 AND mode = 'ShareLock' AND classid = $1::bigint::oid AND objid = $2::bigint::oid
		AND pid NOT IN (SELECT pid FROM here WHERE objsubid = 1 AND classid = $3::bigint::oid AND objid = $4::bigint::oid)`
	return int(s.int(query, int64(binary.BigEndian.Uint32(sum[:])), int64(binary.BigEndian.Uint32(sum[4:])), int64(key>>32), int64(uint32(key))))
}

func (s *scene) eventually(condition func() bool, what string, args ...any) {
	s.Helper()
	for deadline := time.Now().Add(sceneSlack); !condition(); {
		if time.Now().After(deadline) {
			s.Fatalf("not after %v: %s", sceneSlack, fmt.Sprintf(what, args...))
		}
		time.Sleep(2 * time.Millisecond) // between two looks
	}
}

// onlySessionsLeft waits until nothing is locked in this database but what every session keeps for as long as it lives, its marker and its
// nonce: what is given up in the background is gone soon, and what leaks stays.
func (s *scene) onlySessionsLeft() {
	s.Helper()
	const left = `SELECT pid, objsubid = 1, mode, classid::bigint, objid::bigint FROM pg_locks
		WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`
	type lock struct {
		PID            int64
		Single         bool
		Mode           string
		ClassID, ObjID int64
	}
	var locks []lock
	ok := func() bool {
		rows, err := s.pool.Query(s.Context(), left)
		require.NoError(s, err)
		locks, err = pgx.CollectRows(rows, pgx.RowToStructByPos[lock])
		require.NoError(s, err)
		of := make(map[int64]int)
		for _, l := range locks {
			if of[l.PID]++; l.Single || l.Mode != "ExclusiveLock" || of[l.PID] > 2 {
				return false
			}
		}
		return true
	}
	for deadline := time.Now().Add(sceneSlack); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			s.Fatalf("not all locks are released: %+v", locks)
		}
	}
}
