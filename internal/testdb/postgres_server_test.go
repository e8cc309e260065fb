//go:build linux

package testdb

import (
	"context"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestServerOfATestsOwnIsNotTheSharedOne(t *testing.T) {
	t.Parallel()
	shared, err := url.Parse(Postgres(t))
	require.NoError(t, err)
	one, err := url.Parse(StartPostgres(t).DSN())
	require.NoError(t, err)
	two, err := url.Parse(StartPostgres(t).DSN())
	require.NoError(t, err)

	assert.NotEqual(t, shared.Host, one.Host)
	assert.NotEqual(t, shared.Host, two.Host)
	assert.NotEqual(t, one.Host, two.Host)
}

func TestServerIsGoneWhenItsTestEnds(t *testing.T) {
	t.Parallel()
	skipIfShort(t) // this test, and not only the one inside
	for name, last := range map[string]func(*PostgresServer){
		"running": func(*PostgresServer) {},
		"paused":  (*PostgresServer).Pause,
		"stopped": (*PostgresServer).Stop,
		"killed":  (*PostgresServer).Kill,
	} {
		var dir string
		t.Run(name, func(t *testing.T) {
			server := StartPostgres(t)
			dir = filepath.Dir(server.Dir())
			last(server)
		})
		assert.NoDirExists(t, dir, name)
		pids, err := processesIn(dir)
		require.NoError(t, err)
		assert.Empty(t, pids, name)
	}
}

func TestSettingsOverrideTheDefaults(t *testing.T) {
	t.Parallel()
	server := StartPostgres(t, "max_connections=7", "superuser_reserved_connections=1", "fsync=on", "application_name=two words")

	assert.Equal(t, "7", queryString(t, server.DSN(), "SHOW max_connections"))
	assert.Equal(t, "on", queryString(t, server.DSN(), "SHOW fsync"))
	assert.Equal(t, "two words", queryString(t, server.DSN(), "SHOW application_name"))
}

func TestServerThatCannotStartShowsItsLog(t *testing.T) {
	t.Parallel()
	skipIfShort(t)
	bin, err := postgresPrograms()
	require.NoError(t, err)

	_, err = newPostmaster(bin, []string{"no_such_setting=1"})

	require.ErrorContains(t, err, `unrecognized configuration parameter "no_such_setting"`)
}

func TestServerWhosePortIsTakenMeanwhileSaysSo(t *testing.T) {
	t.Parallel()
	one, two := StartPostgres(t), StartPostgres(t)
	two.Stop()
	two.postmaster.port = one.postmaster.port

	assert.ErrorIs(t, two.postmaster.start(), errPortTaken)
}

func TestRestartKeepsDataAndAddress(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*PostgresServer){
		"stopped":           (*PostgresServer).Stop,
		"killed":            (*PostgresServer).Kill,
		"paused and killed": func(s *PostgresServer) { s.Pause(); s.Kill() },
		// A frozen server has to thaw before it can stop.
		"paused and stopped": func(s *PostgresServer) { s.Pause(); s.Stop() },
		"ended twice":        func(s *PostgresServer) { s.Kill(); s.Stop(); s.Kill() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := StartPostgres(t)
			dsn := server.DSN()
			execute(t, dsn, "CREATE TABLE kept (id int); INSERT INTO kept VALUES (1)")
			client := connect(t.Context(), t, dsn)

			end(server)

			require.Error(t, client.Ping(t.Context()))
			server.Start()
			assert.Equal(t, dsn, server.DSN())
			assert.Equal(t, "1", queryString(t, dsn, "SELECT count(*)::text FROM kept"))
		})
	}
}

// A backend notices that its postmaster has died only when it next waits for
// something. One that is busy must be killed like all others.
func TestKillEndsBusyBackendsToo(t *testing.T) {
	t.Parallel()
	server := StartPostgres(t)
	client := connect(t.Context(), t, server.DSN())
	ended := make(chan error)
	go func() {
		_, err := client.Exec(context.Background(), "SELECT count(*) FROM generate_series(1, 1000000000000)")
		ended <- err
	}()
	require.Eventually(t, func() bool {
		return queryString(t, server.DSN(), "SELECT count(*)::text FROM pg_stat_activity WHERE query LIKE '%generate_series(1,%' AND state = 'active' AND pid <> pg_backend_pid()") == "1"
	}, startTimeout, poll)

	server.Kill()

	require.Error(t, <-ended)
	pids, err := processesIn(filepath.Dir(server.Dir()))
	require.NoError(t, err)
	assert.Empty(t, pids)
}

func TestPausedServerIsSilentUntilItIsResumed(t *testing.T) {
	t.Parallel()
	server := StartPostgres(t)
	client := connect(t.Context(), t, server.DSN())

	server.Pause()

	answer := make(chan error)
	go func() { answer <- client.Ping(context.Background()) }()
	select {
	case err := <-answer:
		t.Fatalf("a paused server has answered: %v", err)
	case <-time.After(200 * time.Millisecond):
	}
	server.Resume()
	require.NoError(t, <-answer)
	assert.Equal(t, "1", queryString(t, server.DSN(), "SELECT '1'"))
}

func TestStoppedServerComesBackAsAStandbyIfToldSo(t *testing.T) {
	t.Parallel()
	server := StartPostgres(t)
	server.Stop()
	require.NoError(t, os.WriteFile(filepath.Join(server.Dir(), "standby.signal"), nil, 0o644))

	server.Start()

	assert.Equal(t, "true", queryString(t, server.DSN(), "SELECT pg_is_in_recovery()::text"))
}
