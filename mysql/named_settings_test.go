package mysql_test

import (
	"context"
	"database/sql"
	"testing"
	"time"

	driver "github.com/go-sql-driver/mysql"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sqllock/toolkit/internal/testdb"
	"github.com/sqllock/toolkit/mysql"
	"github.com/sqllock/toolkit/sqllock"
)

// limits are the time limits for statements that the server has: in seconds on MariaDB, in milliseconds on MySQL.
func (s *namedScene) limits() map[string]string {
	s.Helper()
	limits := make(map[string]string)
	for name, value := range map[string]string{"max_statement_time": "0.2", "max_execution_time": "200"} {
		if s.db.QueryRow("SHOW VARIABLES LIKE '"+name+"'").Scan(new(string), new(string)) == nil {
			limits[name] = value
		}
	}
	require.NotEmpty(s, limits)
	return limits
}

// keepsAll holds a lock, waits for another and waits in a transaction, all for longer than any of the limits, and has neither ended.
func (s *namedScene) keepsAll(configure func(*driver.Config)) {
	s.Helper()
	const longer = 2500 * time.Millisecond
	ctx := s.Context()
	b := s.configured(configure, mysql.WithTokens())
	c, other := s.clientOf(b), s.client(mysql.WithTokens())
	kept, held, blocked := s.acquire(c, "kept"), s.acquire(other, "n"), s.acquire(other, "tx")
	got := s.waits(c, "n")
	inTx := make(chan error, 1)
	go func() {
		inTx <- b.WithTx(ctx, "tx", func(tx *sql.Tx) error { return tx.QueryRow("SELECT 1").Scan(new(int)) })
	}()
	waiting := s.waiting("n")
	select {
	case g := <-got:
		s.Fatalf("it has ended: %v", g.err)
	case err := <-inTx:
		s.Fatalf("the transaction has ended: %v", err)
	case <-kept.Done():
		s.Fatalf("lost: %v", kept.Err())
	case <-time.After(longer): // than all limits
	}
	assert.Equal(s, waiting, s.waiting("n"), "it still waits in its place")
	require.NoError(s, kept.Verify(ctx))
	s.release(held, blocked)
	inherited := s.granted(got, 0)
	require.NoError(s, inherited.Verify(ctx))
	require.NoError(s, <-inTx)
	require.NoError(s, c.ForceRelease(ctx, "nobody's"))
	s.release(kept, inherited)
	s.free("kept", "n", "tx")
}

func TestNamedLimitsForStatementsAreNotForLocks(t *testing.T) {
	t.Parallel()
	for name, configure := range map[string]func(limits map[string]string) func(*driver.Config){
		"Params": func(limits map[string]string) func(*driver.Config) {
			return func(c *driver.Config) { c.Params = limits }
		},
		"ReadTimeout": func(map[string]string) func(*driver.Config) {
			return func(c *driver.Config) { c.ReadTimeout, c.WriteTimeout = 200*time.Millisecond, 200*time.Millisecond }
		},
		"NoAutocommit": func(map[string]string) func(*driver.Config) {
			return func(c *driver.Config) { c.Params = map[string]string{"autocommit": "0"} }
		},
		"IdleTimeouts": func(map[string]string) func(*driver.Config) {
			return func(c *driver.Config) { c.Params = map[string]string{"wait_timeout": "1", "interactive_timeout": "1"} }
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newNamedScene(t)
			s.keepsAll(configure(s.limits()))
		})
	}
	t.Run("OfTheServer", func(t *testing.T) {
		t.Parallel()
		server := testdb.StartMySQL(t)
		cfg := server.Config()
		migrate(t, cfg)
		s := namedSceneAt(t, cfg)
		for limit, value := range s.limits() {
			s.exec("SET GLOBAL " + limit + " = " + value)
		}
		s.exec("SET GLOBAL wait_timeout = 1")
		s.exec("SET GLOBAL interactive_timeout = 1")
		s.exec("SET GLOBAL autocommit = 0")
		s.keepsAll(func(*driver.Config) {})
	})
}

// TestNamedNeedsNoAutocommit of the application's: what is written about a lock is committed, and nothing is read from an old snapshot.
func TestNamedNeedsNoAutocommit(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	s := newNamedScene(t)
	manual := func(c *driver.Config) { c.Params = map[string]string{"autocommit": "0"} }
	c, other := s.clientOf(s.configured(manual, mysql.WithTokens(), mysql.SessionTimeout(3*time.Second))), s.client(mysql.WithTokens())
	_, err := c.Locks(ctx)
	require.NoError(t, err)
	forced := s.acquire(other, "n")
	require.NoError(t, c.ForceRelease(ctx, "n"))
	s.ends(forced)
	next := s.acquire(other, "n")
	assert.Greater(t, next.Token(), forced.Token()+1, "the one that was forced is dead")
	infos, err := c.Locks(ctx)
	require.NoError(t, err)
	var names []string
	for _, i := range infos {
		names = append(names, i.Name)
	}
	assert.NotContains(t, names, "", "the name was written after the first look")
	s.release(next)
}

// TestNamedWorksWithoutADatabase where there is nothing to write down.
func TestNamedWorksWithoutADatabase(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	s := namedSceneAt(t, testdb.StartMySQL(t).Config())
	s.cfg.DBName = ""
	b := s.backend()
	c, other := s.clientOf(b), s.client()
	l := s.acquire(c, "n")
	s.refused(other, "n")
	infos, err := c.Locks(ctx)
	require.NoError(t, err)
	require.NotEmpty(t, infos)
	assert.Equal(t, "n", infos[0].Name)
	require.NoError(t, b.WithTx(ctx, "m", func(*sql.Tx) error { return nil }))
	freed, err := b.Terminate(ctx, "n")
	require.NoError(t, err)
	require.Len(t, freed, 1)
	s.ends(l)
	require.ErrorIs(t, sqllock.New(s.backend(mysql.WithTokens())).Ping(ctx), sqllock.ErrInvalid)
}

// TestNamedWaitsForTheLedgerWithoutHaste where tokens cannot be counted for a while.
func TestNamedWaitsForTheLedgerWithoutHaste(t *testing.T) {
	t.Parallel()
	cfg := testdb.StartMySQL(t).Config()
	migrate(t, cfg)
	s := namedSceneAt(t, cfg)
	held := s.acquire(s.client(mysql.WithTokens()), "n")
	got := s.waits(s.client(mysql.WithTokens()), "n")
	s.exec("CREATE TRIGGER " + cfg.DBName + ".refuse BEFORE UPDATE ON " + cfg.DBName + ".sqllock_named FOR EACH ROW SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'not now'")
	s.release(held)
	before := s.count("Questions")
	<-time.After(2 * time.Second) // what is measured
	assert.Less(t, s.count("Questions")-before, int64(500))
	s.exec("DROP TRIGGER " + cfg.DBName + ".refuse")
	s.release(s.granted(got, 0))

	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	s.exec("CREATE TRIGGER " + cfg.DBName + ".refuse BEFORE UPDATE ON " + cfg.DBName + ".sqllock_named FOR EACH ROW SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'not now'")
	_, err := s.client(mysql.WithTokens()).Acquire(ctx, "n")
	unknownHolder(t, err, "Acquire")
	assert.ErrorContains(t, err, "not now")
	s.free("n")
}
