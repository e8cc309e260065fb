//go:build linux

package testdb

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestMySQLServerOfATestsOwnIsNotTheSharedOne(t *testing.T) {
	t.Parallel()
	shared, one, two := MySQL(t), StartMySQL(t), StartMySQL(t)

	assert.NotEqual(t, shared.Addr, one.Config().Addr)
	assert.NotEqual(t, shared.Addr, two.Config().Addr)
	assert.NotEqual(t, one.Config().Addr, two.Config().Addr)
}

func TestMySQLServerIsGoneWhenItsTestEnds(t *testing.T) {
	t.Parallel()
	skipIfShort(t) // this test, and not only the one inside
	for name, last := range map[string]func(*MySQLServer){
		"running": func(*MySQLServer) {},
		"paused":  (*MySQLServer).Pause,
		"stopped": (*MySQLServer).Stop,
		"killed":  (*MySQLServer).Kill,
	} {
		var dir string
		t.Run(name, func(t *testing.T) {
			server := StartMySQL(t)
			dir = filepath.Dir(server.Dir())
			last(server)
		})
		assert.NoDirExists(t, dir, name)
		pids, err := processesIn(dir)
		require.NoError(t, err)
		assert.Empty(t, pids, name)
	}
}

func TestMySQLServerHasItsDefaultsWhereTheyChangeWhatHappens(t *testing.T) {
	t.Parallel()
	server := StartMySQL(t)

	var name, isolation string // whose name depends on the version
	require.NoError(t, connectMySQL(t, server.Config()).QueryRowContext(t.Context(), "SHOW VARIABLES LIKE 't%_isolation'").Scan(&name, &isolation))
	assert.Equal(t, "REPEATABLE-READ", isolation)
	assert.Contains(t, queryMySQL(t, server.Config(), "SELECT @@sql_mode"), "STRICT_TRANS_TABLES")
	assert.Equal(t, "50", queryMySQL(t, server.Config(), "SELECT @@innodb_lock_wait_timeout"))
}

func TestMySQLSettingsOverrideTheDefaults(t *testing.T) {
	t.Parallel()
	server := StartMySQL(t, "max-connections=17", "innodb-flush-log-at-trx-commit=1", "log-bin=binlog", "init-connect=SET @greeting = 'two words'")

	assert.Equal(t, "17", queryMySQL(t, server.Config(), "SELECT @@max_connections"))
	assert.Equal(t, "1", queryMySQL(t, server.Config(), "SELECT @@innodb_flush_log_at_trx_commit"))
	assert.Equal(t, "1", queryMySQL(t, server.Config(), "SELECT @@log_bin"))
	assert.Equal(t, "SET @greeting = 'two words'", queryMySQL(t, server.Config(), "SELECT @@init_connect"))
}

func TestMySQLServerThatCannotStartShowsItsLog(t *testing.T) {
	t.Parallel()
	skipIfShort(t)
	programs, err := findMySQLPrograms()
	require.NoError(t, err)

	_, err = newMysqld(programs, []string{"no-such-setting=1"})

	require.ErrorContains(t, err, "unknown variable 'no-such-setting=1'")
}

func TestMySQLServerWhosePortIsTakenMeanwhileSaysSo(t *testing.T) {
	t.Parallel()
	one, two := StartMySQL(t), StartMySQL(t)
	two.Stop()
	two.mysqld.port = one.mysqld.port

	assert.ErrorIs(t, two.mysqld.start(), errPortTaken)
}

func TestMySQLRestartKeepsDataAndAddress(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*MySQLServer){
		"stopped":           (*MySQLServer).Stop,
		"killed":            (*MySQLServer).Kill,
		"paused and killed": func(s *MySQLServer) { s.Pause(); s.Kill() },
		// A frozen server has to thaw before it can stop.
		"paused and stopped": func(s *MySQLServer) { s.Pause(); s.Stop() },
		"ended twice":        func(s *MySQLServer) { s.Kill(); s.Stop(); s.Kill() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := StartMySQL(t)
			address := server.Config().Addr
			executeMySQL(t, server.Config(), "CREATE TABLE kept (id int) ENGINE=InnoDB", "INSERT INTO kept VALUES (1)")
			client := connectMySQL(t, server.Config())

			end(server)

			require.Error(t, client.PingContext(t.Context()))
			server.Start()
			assert.Equal(t, address, server.Config().Addr)
			assert.Equal(t, "1", queryMySQL(t, server.Config(), "SELECT count(*) FROM kept"))
		})
	}
}

func TestPausedMySQLServerIsSilentUntilItIsResumed(t *testing.T) {
	t.Parallel()
	server := StartMySQL(t)
	client := connectMySQL(t, server.Config())

	server.Pause()

	answer := make(chan error)
	go func() { answer <- client.PingContext(context.Background()) }()
	select {
	case err := <-answer:
		t.Fatalf("a paused server has answered: %v", err)
	case <-time.After(200 * time.Millisecond):
	}
	server.Resume()
	require.NoError(t, <-answer)
	assert.Equal(t, "1", queryMySQL(t, server.Config(), "SELECT 1"))
}
