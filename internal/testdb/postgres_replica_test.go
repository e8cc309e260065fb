//go:build linux

package testdb

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestReplicaHasWhatWasCommittedBeforeAndFollows(t *testing.T) {
	t.Parallel()
	primary := StartPostgres(t)
	execute(t, primary.DSN(), "CREATE TABLE followed AS SELECT generate_series(1, 1000) AS id")

	replica := primary.Replica()

	assert.NotEqual(t, primary.DSN(), replica.DSN())
	assert.Equal(t, "true", queryString(t, replica.DSN(), "SELECT pg_is_in_recovery()::text"))
	assert.Equal(t, "1000", queryString(t, replica.DSN(), "SELECT count(*)::text FROM followed"))
	execute(t, primary.DSN(), "INSERT INTO followed VALUES (1001)")
	assertFollowed(t, replica, "1001")
	assert.Equal(t, "streaming async", queryString(t, primary.DSN(), "SELECT state || ' ' || sync_state FROM pg_stat_replication"))
}

func TestReplicaAcceptsNoWrites(t *testing.T) {
	t.Parallel()
	replica := StartPostgres(t).Replica()

	_, err := connect(t.Context(), t, replica.DSN()).Exec(t.Context(), "CREATE TABLE refused ()")

	require.ErrorContains(t, err, "read-only transaction")
}

// Copied while the primary writes, with several checkpoints on the way.
func TestReplicaOfABusyPrimaryIsWhole(t *testing.T) {
	t.Parallel()
	primary := StartPostgres(t)
	execute(t, primary.DSN(), "CREATE TABLE followed (id int PRIMARY KEY)")
	ctx, stop := context.WithCancel(t.Context())
	written := make(chan int)
	writer := connect(t.Context(), t, primary.DSN())
	go func() {
		n := 0
		for ctx.Err() == nil {
			if _, err := writer.Exec(context.Background(), "INSERT INTO followed SELECT generate_series($1::int, $1 + 99)", n); err != nil {
				break
			}
			if n%1000 == 0 {
				_, _ = writer.Exec(context.Background(), "CHECKPOINT")
			}
			n += 100
		}
		written <- n
	}()

	replica := primary.Replica()

	stop()
	n := <-written
	require.Positive(t, n)
	execute(t, primary.DSN(), "INSERT INTO followed VALUES (1000000000)")
	assertFollowed(t, replica, "1000000000")
	assert.Equal(t, queryString(t, primary.DSN(), "SELECT count(*)::text FROM followed"),
		queryString(t, replica.DSN(), "SELECT count(*)::text FROM followed"))
}

func TestReplicaCatchesUpAfterAPause(t *testing.T) {
	t.Parallel()
	// Without the slot, this much would be more than the primary keeps.
	primary := StartPostgres(t, "max_wal_size=32MB", "min_wal_size=32MB")
	execute(t, primary.DSN(), "CREATE TABLE followed (id int)")
	replica := primary.Replica()
	for name, during := range map[string]struct{ begin, end func(*PostgresServer) }{
		"paused":  {(*PostgresServer).Pause, (*PostgresServer).Resume},
		"stopped": {(*PostgresServer).Stop, (*PostgresServer).Start},
		"killed":  {(*PostgresServer).Kill, (*PostgresServer).Start},
	} {
		execute(t, primary.DSN(), "TRUNCATE followed")
		during.begin(replica)
		for range 4 {
			execute(t, primary.DSN(), "SELECT pg_logical_emit_message(false, 'padding', repeat('x', 1000000)); SELECT pg_switch_wal()")
			execute(t, primary.DSN(), "CHECKPOINT")
		}
		execute(t, primary.DSN(), "INSERT INTO followed VALUES (7)")
		during.end(replica)
		assertFollowed(t, replica, "7", name)
	}
}

func TestReplicaOutlivesItsPrimaryAndFollowsItAgain(t *testing.T) {
	t.Parallel()
	primary := StartPostgres(t)
	execute(t, primary.DSN(), "CREATE TABLE followed AS SELECT 1 AS id")
	replica := primary.Replica()

	primary.Kill()

	assert.Equal(t, "1", queryString(t, replica.DSN(), "SELECT max(id)::text FROM followed"))
	primary.Start()
	execute(t, primary.DSN(), "INSERT INTO followed VALUES (2)")
	assertFollowed(t, replica, "2")
}

func TestPromotedReplicaAcceptsWritesAndStaysPrimary(t *testing.T) {
	t.Parallel()
	primary := StartPostgres(t)
	replica := primary.Replica()
	primary.Kill()

	replica.Promote()

	execute(t, replica.DSN(), "CREATE TABLE followed AS SELECT 1 AS id")
	replica.Stop()
	replica.Start()
	assert.Equal(t, "false", queryString(t, replica.DSN(), "SELECT pg_is_in_recovery()::text"))
	assert.Equal(t, "1", queryString(t, replica.DSN(), "SELECT max(id)::text FROM followed"))
}

func TestReplicaTakesThePrimarysSettingsAndItsOwn(t *testing.T) {
	t.Parallel()
	// A standby refuses to start with fewer connections than its primary.
	primary := StartPostgres(t, "max_connections=300", "work_mem=5MB")

	replica := primary.Replica("work_mem=7MB")

	assert.Equal(t, "300", queryString(t, replica.DSN(), "SHOW max_connections"))
	assert.Equal(t, "7MB", queryString(t, replica.DSN(), "SHOW work_mem"))
	assert.Equal(t, "5MB", queryString(t, primary.DSN(), "SHOW work_mem"))
}

func TestReplicaIsGoneWhenItsTestEnds(t *testing.T) {
	t.Parallel()
	skipIfShort(t) // this test, and not only the one inside
	var dir string
	t.Run("user", func(t *testing.T) {
		dir = filepath.Dir(StartPostgres(t).Replica().Dir())
	})

	assert.NoDirExists(t, dir)
	pids, err := processesIn(dir)
	require.NoError(t, err)
	assert.Empty(t, pids)
}

func TestReplicaOfAServerWithTablespacesIsRefused(t *testing.T) {
	t.Parallel()
	primary := StartPostgres(t)
	dir, err := newServerDir("tablespace")
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, removeServerDir(dir)) })
	execute(t, primary.DSN(), "CREATE TABLESPACE elsewhere LOCATION '"+dir+"'")

	_, err = primary.postmaster.newReplica(nil)

	require.ErrorContains(t, err, "tablespaces cannot be copied")
}

// assertFollowed waits until the greatest id of the table followed is on the
// replica.
func assertFollowed(t *testing.T, replica *PostgresServer, id string, messages ...any) {
	t.Helper()
	conn := connect(t.Context(), t, replica.DSN())
	assert.Eventually(t, func() bool {
		var got string
		err := conn.QueryRow(t.Context(), "SELECT coalesce(max(id), 0)::text FROM followed", pgx.QueryExecModeSimpleProtocol).Scan(&got)
		return err == nil && got == id
	}, startTimeout, poll, messages...)
}
