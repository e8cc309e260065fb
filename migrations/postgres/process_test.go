package postgres

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sqllock/toolkit/internal/testdb"
	"github.com/sqllock/toolkit/migrations/internal/proctest"
)

// TestProcess is what other tests run in processes of their own.
func TestProcess(t *testing.T) {
	role, dsn := proctest.Role()
	switch role {
	case "":
		t.Skip("only runs inside other tests")
	case "up":
		db := open(t, dsn)
		require.NoError(t, db.PingContext(t.Context()))
		proctest.Say("ready")
		proctest.Hold()
		require.NoError(t, Up(t.Context(), db))
	case "hang":
		db := open(t, dsn)
		hanging := with(t, "CREATE TABLE half_done (); SELECT pg_sleep(3600)")
		assert.NoError(t, newOptions(nil).lockSchema(hanging).Up(t.Context(), db))
	default:
		t.Fatalf("unknown role %q", role)
	}
}

func TestProcessesThatStartTogetherMigrateOnceAndAllSucceed(t *testing.T) {
	t.Parallel()
	dsn := testdb.Postgres(t)
	processes := make([]*proctest.Process, 10)
	for i := range processes {
		processes[i] = proctest.Start(t, "TestProcess", "up", dsn)
	}
	for _, p := range processes {
		p.Await("ready")
	}

	for _, p := range processes {
		p.Release()
	}

	for _, p := range processes {
		p.Succeeds() // a second CREATE TABLE would have failed
	}
	version, err := Version(t.Context(), open(t, dsn))
	require.NoError(t, err)
	assert.EqualValues(t, Latest, version)
}

func TestMigratorThatIsKilledLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	dsn := testdb.Postgres(t)
	db := open(t, dsn)
	p := proctest.Start(t, "TestProcess", "hang", dsn)
	require.Eventually(t, func() bool {
		return len(query(t, db, `
			SELECT pid::text FROM pg_stat_activity
			WHERE datname = current_database() AND pid <> pg_backend_pid() AND wait_event = 'PgSleep'`)) == 1
	}, patience, poll)

	p.Kill()
	if len(query(t, db, "SELECT name FROM pg_settings WHERE name = 'client_connection_check_interval'")) == 0 {
		// PostgreSQL 13 notices that a client is gone only when its statement ends.
		query(t, db, `SELECT pg_terminate_backend(pid)::text FROM pg_stat_activity
			WHERE datname = current_database() AND pid <> pg_backend_pid() AND wait_event = 'PgSleep'`)
	}

	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	require.NoError(t, Up(ctx, db), "waits until the server has noticed")
	state := describe(t, db, "public")
	require.NoError(t, Down(t.Context(), db))
	assert.Empty(t, tables(t, db, "public"))
	require.NoError(t, Up(t.Context(), db))
	assert.Equal(t, describe(t, db, "public"), state)
}
