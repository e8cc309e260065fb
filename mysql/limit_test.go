package mysql_test

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
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

// backends are the two, as one process would have them.
var backends = map[string]func(*driver.Config) backend{
	"Named": func(cfg *driver.Config) backend { return mysql.Named(cfg) },
	"Table": func(cfg *driver.Config) backend { return mysql.Table(cfg) },
}

type backend interface {
	sqllock.Backend
	Close(ctx context.Context) error
}

// numbered are so many names.
func numbered(n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprint("n", i)
	}
	return names
}

// processOf is another process, which ends with the test t.
func (s *namedScene) processOf(t *testing.T, open func(*driver.Config) backend, opts ...sqllock.ClientOption) *sqllock.Client {
	t.Helper()
	b := open(s.cfg)
	c := sqllock.New(b, opts...)
	t.Cleanup(func() {
		assert.NoError(t, c.Close(context.Background()))
		assert.NoError(t, b.Close(context.Background()))
	})
	return c
}

func TestTenThousandLocksAreHeld(t *testing.T) {
	t.Parallel()
	const locks, at = 10_000, 500
	for name, open := range backends {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx := t.Context()
			s := newNamedScene(t)
			c := s.processOf(t, open)
			other := s.processOf(t, open)
			var sets []*sqllock.Set
			for names := range slices.Chunk(numbered(locks), at) {
				set, err := c.AcquireAll(ctx, names)
				require.NoError(t, err)
				sets = append(sets, set)
			}
			if name == "Named" {
				assert.Len(t, s.sessions(), 1)
			}
			for _, set := range sets {
				require.NoError(t, set.Err())
				require.NoError(t, set.Locks()[0].Verify(ctx))
				s.refused(other, set.Locks()[1].Name())
			}
			infos, err := c.Locks(ctx)
			require.NoError(t, err)
			require.Len(t, infos, locks)
			for _, set := range sets {
				require.NoError(t, set.Release(ctx))
			}
			infos, err = c.Locks(ctx)
			require.NoError(t, err)
			require.Empty(t, infos)
		})
	}
}

// TestThousandWaitersOfOneName of several processes get it one after the other. Who leaves is told, and leaves nothing behind.
func TestThousandWaitersOfOneName(t *testing.T) {
	t.Parallel()
	const processes, each, served = 10, 100, 20
	for name, open := range backends {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newNamedScene(t)
			first, err := s.processOf(t, open).Acquire(t.Context(), "n")
			require.NoError(t, err)
			ctx, leave := context.WithTimeout(t.Context(), 3*time.Minute)
			defer leave()
			var inside, granted int // by whoever has the lock
			var told atomic.Int32
			var all sync.WaitGroup
			for range processes {
				c := s.processOf(t, open)
				for range each {
					all.Go(func() {
						l, err := c.Acquire(ctx, "n")
						if err != nil {
							assert.ErrorIs(t, err, context.Canceled)
							told.Add(1)
							return
						}
						inside++
						assert.Equal(t, 1, inside)
						if granted++; granted == served {
							leave()
						}
						inside--
						assert.NoError(t, l.Release(t.Context()))
					})
				}
			}
			inLine := func() int { return len(s.waiting("n")) }
			if name == "Table" {
				inLine = func() int { return int(s.int("SELECT COUNT(*) FROM " + s.cfg.DBName + ".sqllock_waiters")) }
			}
			s.eventually(func() bool { return inLine() == processes }, "one of each process is in line")
			assert.LessOrEqual(t, len(s.sessions()), 4*(processes+1))
			require.NoError(t, first.Release(t.Context()))
			all.Wait()
			assert.GreaterOrEqual(t, granted, served)
			assert.Equal(t, processes*each, granted+int(told.Load()))
			s.eventually(func() bool { return inLine() == 0 }, "nobody is in line")
			l, err := s.processOf(t, open).Acquire(t.Context(), "n", sqllock.Wait(namedSlack))
			require.NoError(t, err)
			require.NoError(t, l.Release(t.Context()))
		})
	}
}

// TestThousandWaitersOfManyNames wait in few connections, and all get theirs.
func TestThousandWaitersOfManyNames(t *testing.T) {
	t.Parallel()
	const names = 1000
	for name, open := range backends {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
			defer cancel()
			s := newNamedScene(t)
			holder, c := s.processOf(t, open), s.processOf(t, open)
			set, err := holder.AcquireAll(ctx, numbered(names))
			require.NoError(t, err)
			got := make(chan *sqllock.Lock, names)
			var all sync.WaitGroup
			for _, n := range numbered(names) {
				all.Go(func() {
					l, err := c.Acquire(ctx, n)
					if assert.NoError(t, err) {
						got <- l
					}
				})
			}
			if name == "Named" {
				s.eventually(func() bool { return len(s.sessions()) >= 10 }, "eight are parked")
				assert.LessOrEqual(t, len(s.sessions()), 1+1+8)
			} else {
				s.eventually(func() bool { return s.int("SELECT COUNT(*) FROM "+s.cfg.DBName+".sqllock_waiters") == names }, "all are in line")
				assert.LessOrEqual(t, len(s.sessions()), 8)
			}
			require.NoError(t, set.Release(ctx))
			all.Wait()
			require.Len(t, got, names)
			for range names {
				require.NoError(t, (<-got).Release(ctx))
			}
		})
	}
}

// limited is a server with room for few connections, as an application has it that is no administrator, and what takes them all.
func limited(t *testing.T) (s *namedScene, fill func() (free func())) {
	t.Helper()
	server := testdb.StartMySQL(t, "max-connections=16")
	migrate(t, server.Config())
	s = namedSceneAt(t, server.Config())
	s.asApplication("GRANT ALL ON test.* TO app")
	return s, func() func() {
		hog := connect(t, s.cfg)
		var all []*sql.Conn
		for {
			conn, err := hog.Conn(t.Context())
			if err != nil {
				require.ErrorContains(t, err, "onnections")
				break
			}
			all = append(all, conn)
		}
		return func() {
			require.NoError(t, hog.Close())
			for _, conn := range all {
				require.NoError(t, conn.Close())
			}
		}
	}
}

// asApplication has the scene's clients log in as a user who may do no more than the statements say.
func (s *namedScene) asApplication(grants ...string) {
	s.Helper()
	s.exec("CREATE USER app IDENTIFIED BY 'secret'")
	for _, grant := range grants {
		s.exec(grant)
	}
	s.cfg = s.cfg.Clone()
	s.cfg.User, s.cfg.Passwd = "app", "secret"
}

// TestFullServerKeepsLeases that it has granted, and tells those who cannot connect.
func TestFullServerKeepsLeases(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	s, fill := limited(t)
	c, late := s.processOf(t, backends["Table"], sqllock.TTL(3*time.Second)), s.processOf(t, backends["Table"])
	held := s.acquire(c, "n")
	require.Eventually(t, func() bool { return len(s.sessions()) >= 3 }, namedSlack, time.Millisecond, "the bell hangs")
	free := fill()
	before := held.Deadline()
	_, err := late.TryAcquire(ctx, "n")
	unknownHolder(t, err, "TryAcquire")
	assert.ErrorContains(t, err, "max_connections")
	assert.ErrorContains(t, late.Ping(ctx), "max_connections")
	_, err = late.Acquire(ctx, "n", sqllock.Wait(time.Second))
	unknownHolder(t, err, "Acquire")
	require.Eventually(t, func() bool { return held.Deadline().After(before.Add(3 * time.Second)) }, namedSlack, time.Millisecond, "renewals go on")
	require.NoError(t, held.Verify(ctx))
	free()
	s.release(held)
	s.eventually(func() bool { return late.Ping(ctx) == nil }, "there is room")
	s.release(s.acquire(late, "n"))
}

// TestNamedComesBackWhenAFullServerHasRoom for the connections that it has lost meanwhile.
func TestNamedComesBackWhenAFullServerHasRoom(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	s, fill := limited(t)
	kept := s.acquire(s.client(), "kept")
	s.exec("CREATE USER other IDENTIFIED BY 'secret'")
	s.exec("GRANT ALL ON test.* TO other")
	c := s.clientOf(s.configured(func(cfg *driver.Config) { cfg.User = "other" }))
	lost, waited := s.acquire(c, "lost"), s.waits(c, "kept")
	frees := []func(){fill()}
	require.NoError(t, lost.Verify(ctx))
	require.NoError(t, kept.Verify(ctx))
	s.eventually(func() bool {
		for _, id := range s.ids("SELECT ID FROM information_schema.PROCESSLIST WHERE USER = 'other'") {
			s.terminate(id)
		}
		frees = append(frees, fill()) // unless it was faster
		l, err := c.TryAcquire(ctx, "refused")
		if err == nil {
			s.release(l)
			return false
		}
		unknownHolder(t, err, "TryAcquire")
		return strings.Contains(err.Error(), "max_connections")
	}, "it is refused")
	s.ends(lost)
	require.NoError(t, kept.Verify(ctx))
	for _, free := range frees {
		free()
	}
	s.release(kept)
	s.release(s.granted(waited, 0))
	s.eventually(func() bool { return release(t, c, "lost") }, "there is room")
}

// TestReadOnlyServerKeepsLeasesUntilTheirDeadline and no longer.
func TestReadOnlyServerKeepsLeasesUntilTheirDeadline(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	server := testdb.StartMySQL(t)
	migrate(t, server.Config())
	s := namedSceneAt(t, server.Config())
	s.asApplication("GRANT ALL ON test.* TO app")
	c, other := s.processOf(t, backends["Table"], sqllock.TTL(6*time.Second)), s.processOf(t, backends["Table"])
	named := s.acquire(s.client(), "n")
	held := s.acquire(c, "n")

	s.exec("SET GLOBAL read_only = 1")
	first := held.Deadline()
	_, err := other.TryAcquire(ctx, "m")
	unknownHolder(t, err, "TryAcquire")
	assert.ErrorContains(t, err, "read-only")
	awaitInstant(t, first.Add(-time.Second), held)
	s.exec("SET GLOBAL read_only = 0")
	require.Eventually(t, func() bool { return held.Deadline().After(first.Add(time.Second)) }, namedSlack, time.Millisecond, "it goes on")
	require.NoError(t, held.Verify(ctx))

	s.exec("SET GLOBAL read_only = 1")
	awaitInstant(t, held.Deadline().Add(-200*time.Millisecond), held)
	s.ends(held)
	assert.False(t, time.Now().Before(held.Deadline().Add(-10*time.Millisecond)), "not before")
	assert.ErrorIs(t, held.Err(), sqllock.ErrExpired)
	require.NoError(t, named.Verify(ctx), "a session lock writes nothing")
	s.exec("SET GLOBAL read_only = 0")
	s.release(named, s.acquire(c, "n"))
}

// awaitInstant fails the test if the lock is lost before.
func awaitInstant(t *testing.T, at time.Time, l *sqllock.Lock) {
	t.Helper()
	select {
	case <-l.Done():
		t.Fatalf("lost %v too early: %v", time.Until(at), l.Err())
	case <-time.After(time.Until(at)):
	}
}

// TestFullDiskGrantsNothing and says so. What is held ends at its deadline, unless there is room enough to renew it.
func TestFullDiskGrantsNothing(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	// All tables share one file, which may not grow.
	server := testdb.StartMySQL(t, "innodb-data-file-path=ibdata1:12M", "innodb-file-per-table=OFF", "loose-innodb-undo-tablespaces=0")
	migrate(t, server.Config())
	s := namedSceneAt(t, server.Config())
	c := sqllock.New(mysql.Table(s.cfg), sqllock.TTL(6*time.Second))
	other := sqllock.New(mysql.Table(s.cfg))
	defer func() { _, _ = other.Close(context.Background()), c.Close(context.Background()) }() // which cannot write either
	held, named := s.acquire(c, "held"), s.acquire(s.client(), "named")
	// In rows that fit into a page: MariaDB 11.8.9 crashes when there is no room for a value outside of it.
	s.exec("CREATE TABLE test.filler (data BLOB)")
	for size := 7000; size > 0; size /= 2 {
		for {
			_, err := s.db.ExecContext(ctx, "INSERT INTO test.filler VALUES (REPEAT('x', ?))", size)
			if err != nil {
				require.ErrorContains(t, err, "is full")
				break
			}
		}
	}
	var refusal error
	s.eventually(func() bool {
		_, refusal = other.AcquireAll(ctx, numbered(5000), sqllock.Wait(0))
		return refusal != nil
	}, "refused")
	unknownHolder(t, refusal, "AcquireAll")
	assert.ErrorContains(t, refusal, "is full")

	for deadline := held.Deadline(); held.Err() == nil && !held.Deadline().After(deadline); {
		awaitInstant(t, held.Deadline().Add(-100*time.Millisecond), held)
		select {
		case <-held.Done():
		case <-time.After(200 * time.Millisecond):
		}
	}
	if err := held.Err(); err != nil {
		require.ErrorIs(t, err, sqllock.ErrExpired)
	}
	require.NoError(t, named.Verify(ctx))
	s.release(named)
}

// release tells whether name could be acquired, and gives it up.
func release(t *testing.T, c *sqllock.Client, name string) bool {
	t.Helper()
	l, err := c.TryAcquire(t.Context(), name)
	if err != nil {
		unknownHolder(t, err, "TryAcquire")
		return false
	}
	return assert.NoError(t, l.Release(t.Context()))
}
