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

// namedSlack is what a bound allows beyond what is promised. It is shorter than the session timeout, so that a takeover by that is told apart.
const namedSlack = 10 * time.Second

// namedScene is a database in which Clients of Named meet, with connections to look at it that are not to this database.
type namedScene struct {
	*testing.T
	cfg *driver.Config
	db  *sql.DB
}

// newNamedScene is a scene with the toolkit's schema in it.
func newNamedScene(t *testing.T) *namedScene {
	t.Helper()
	cfg := testdb.MySQL(t)
	migrate(t, cfg)
	return namedSceneAt(t, cfg)
}

func namedSceneAt(t *testing.T, cfg *driver.Config) *namedScene {
	t.Helper()
	outside := cfg.Clone()
	outside.DBName = ""
	outside.Logger = &driver.NopLogger{} // it tells of connections that the tests end
	db := connect(t, outside)
	return &namedScene{T: t, cfg: cfg, db: db}
}

func (s *namedScene) backend(opts ...mysql.Option) *mysql.NamedBackend {
	s.Helper()
	return s.configured(func(*driver.Config) {}, opts...)
}

// configured is a backend whose configuration the application has its own ideas about.
func (s *namedScene) configured(configure func(*driver.Config), opts ...mysql.Option) *mysql.NamedBackend {
	s.Helper()
	cfg := s.cfg.Clone()
	configure(cfg)
	b := mysql.Named(cfg, opts...)
	s.Cleanup(func() { assert.NoError(s, b.Close(context.Background())) })
	return b
}

// clientOf is a Client with a session of its own: to the server it is another process.
func (s *namedScene) clientOf(b *mysql.NamedBackend) *sqllock.Client {
	s.Helper()
	c := sqllock.New(b)
	s.Cleanup(func() { assert.NoError(s, c.Close(context.Background())) })
	return c
}

func (s *namedScene) client(opts ...mysql.Option) *sqllock.Client {
	s.Helper()
	return s.clientOf(s.backend(opts...))
}

func (s *namedScene) exec(query string, args ...any) {
	s.Helper()
	_, err := s.db.ExecContext(s.Context(), query, args...)
	require.NoError(s, err, query)
}

func (s *namedScene) int(query string, args ...any) (n int64) {
	s.Helper()
	require.NoError(s, s.db.QueryRowContext(s.Context(), query, args...).Scan(&n), query)
	return n
}

// count reads one of the server's counters, which are for all who use the server.
func (s *namedScene) count(counter string) (n int64) {
	s.Helper()
	require.NoError(s, s.db.QueryRowContext(s.Context(), "SHOW GLOBAL STATUS LIKE '"+counter+"'").Scan(new(string), &n))
	return n
}

func (s *namedScene) acquire(c *sqllock.Client, name string, opts ...sqllock.Option) *sqllock.Lock {
	s.Helper()
	l, err := c.Acquire(s.Context(), name, append([]sqllock.Option{sqllock.Wait(namedSlack)}, opts...)...)
	require.NoError(s, err)
	return l
}

func (s *namedScene) release(locks ...*sqllock.Lock) {
	s.Helper()
	for _, l := range locks {
		require.NoError(s, l.Release(s.Context()))
	}
}

func (s *namedScene) refused(c *sqllock.Client, name string) {
	s.Helper()
	_, err := c.TryAcquire(s.Context(), name)
	require.ErrorIs(s, err, sqllock.ErrNotAcquired)
}

// namedGrant is what somebody who waits gets.
type namedGrant struct {
	lock *sqllock.Lock
	err  error
}

// begins acquires in a goroutine.
func (s *namedScene) begins(c *sqllock.Client, name string) <-chan namedGrant {
	got := make(chan namedGrant, 1)
	go func() {
		l, err := c.Acquire(s.Context(), name)
		got <- namedGrant{l, err}
	}()
	return got
}

// waits begins to acquire, and returns when one more session waits in the server.
func (s *namedScene) waits(c *sqllock.Client, name string) <-chan namedGrant {
	s.Helper()
	before := len(s.waiting(name))
	got := s.begins(c, name)
	s.eventually(func() bool {
		if len(got) > 0 {
			g := <-got
			s.Fatalf("it has ended instead of waiting: %v", g.err)
		}
		return len(s.waiting(name)) > before
	}, "somebody waits")
	return got
}

// granted is the lock that somebody has waited for, which must come within d and what slow machines need.
func (s *namedScene) granted(got <-chan namedGrant, d time.Duration) *sqllock.Lock {
	s.Helper()
	select {
	case g := <-got:
		require.NoError(s, g.err)
		return g.lock
	case <-time.After(d + namedSlack):
		s.Fatalf("not granted within %v and %v", d, namedSlack)
		return nil
	}
}

func (s *namedScene) key(name string) string { return mysql.Named(s.cfg).Key(name) }

// holder is the number of the session that holds a name, or 0.
func (s *namedScene) holder(name string) int64 {
	s.Helper()
	return s.int("SELECT COALESCE(IS_USED_LOCK(?), 0)", s.key(name))
}

// waiting is the sessions that wait for a name in the server.
func (s *namedScene) waiting(name string) []int64 {
	s.Helper()
	return s.ids("SELECT ID FROM information_schema.PROCESSLIST WHERE STATE = 'User lock' AND INFO LIKE CONCAT('%GET_LOCK(''', ?, '''%')", s.key(name))
}

// sessions is those that are in the scene's database: all but the ones that look.
func (s *namedScene) sessions() []int64 {
	s.Helper()
	return s.ids("SELECT ID FROM information_schema.PROCESSLIST WHERE DB = ?", s.cfg.DBName)
}

func (s *namedScene) ids(query string, args ...any) (ids []int64) {
	s.Helper()
	rows, err := s.db.QueryContext(s.Context(), query, args...)
	require.NoError(s, err)
	defer rows.Close()
	for rows.Next() {
		var id int64
		require.NoError(s, rows.Scan(&id))
		ids = append(ids, id)
	}
	require.NoError(s, rows.Err())
	return ids
}

// kill ends a session, or what it does. That it has just ended by itself is no error.
func (s *namedScene) kill(what string, id int64) {
	s.Helper()
	_, err := s.db.ExecContext(s.Context(), fmt.Sprintf("KILL %s %d", what, id))
	if number := new(driver.MySQLError); err != nil {
		require.ErrorAs(s, err, &number)
		require.EqualValues(s, 1094, number.Number)
	}
}

// terminate ends a session, and returns when it has ended.
func (s *namedScene) terminate(id int64) {
	s.Helper()
	s.kill("CONNECTION", id)
	s.eventually(func() bool { return s.int("SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE ID = ?", id) == 0 }, "session %d has ended", id)
}

// ends waits for the end of a lock, of which its holder must be told.
func (s *namedScene) ends(l *sqllock.Lock) {
	s.Helper()
	select {
	case <-l.Done():
	case <-time.After(namedSlack):
		s.Fatalf("the holder of %q is not told", l.Name())
	}
}

func (s *namedScene) eventually(condition func() bool, what string, args ...any) {
	s.Helper()
	for deadline := time.Now().Add(namedSlack); !condition(); {
		if time.Now().After(deadline) {
			s.Fatalf("not after %v: %s", namedSlack, fmt.Sprintf(what, args...))
		}
		time.Sleep(2 * time.Millisecond) // between two looks
	}
}

// free waits until nobody holds a name: what is given up in the background is free soon, and what leaks stays.
func (s *namedScene) free(names ...string) {
	s.Helper()
	for _, name := range names {
		s.eventually(func() bool { return s.holder(name) == 0 }, "%q is free", name)
	}
}

// unknownHolder demands an error that says nothing about who holds: the database could not be asked.
func unknownHolder(t *testing.T, err error, what string) {
	t.Helper()
	if assert.Error(t, err, what) {
		assert.NotErrorIs(t, err, sqllock.ErrNotAcquired, what)
		assert.NotErrorIs(t, err, sqllock.ErrLost, what)
		assert.NotErrorIs(t, err, sqllock.ErrRefused, what)
	}
}
