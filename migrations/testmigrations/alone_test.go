package testmigrations

import (
	"database/sql"
	"errors"
	"net/url"
	"testing"
	"time"

	"github.com/golang-migrate/migrate/v4"
	"github.com/golang-migrate/migrate/v4/database"
	migratepgx "github.com/golang-migrate/migrate/v4/database/pgx/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sqllock/toolkit/internal/testdb"
)

// What golang-migrate does without this toolkit, in the same scenes. Where one of these tests fails, golang-migrate has become better,
// and docs/migrations.md is to be changed.

func TestAloneReplicasOnPostgresFailWithDeadlocksUnderCreateIndexConcurrently(t *testing.T) {
	t.Parallel()
	s := newStage(t, role{kind: "postgres", lock: "advisory", way: "alone"})
	all := s.startsTogether(replicas)
	s.awaitGated()
	s.eventually(replicas-1, "all others wait inside the server", kinds["postgres"].asleep)
	assert.Equal(t, replicas-1, s.int(`SELECT count(*) FROM pg_stat_activity
		WHERE datname = current_database() AND wait_event = 'advisory' AND backend_xmin IS NOT NULL`), "each with a snapshot")

	s.openGate()

	s.done(all...)
	outcomes := s.outcomes()
	t.Log(outcomes, s.version())
	// Whoever waits looks for deadlocks once, after a second. So it depends on when they came who is the victim, waiters or the one that migrates.
	assert.Positive(t, outcomes["40P01"])
	assert.NotEqual(t, replicas, outcomes["migrated"])
	s.leavesNobody()
}

func TestAloneOpenAndWithInstanceOnPostgresLockDifferentKeys(t *testing.T) {
	t.Parallel()
	dsn := testdb.Postgres(t)
	byURL, err := kinds["postgres"].open(dsn)
	require.NoError(t, err)
	db, err := sql.Open("pgx", dsn)
	require.NoError(t, err)
	byInstance, err := migratepgx.WithInstance(db, &migratepgx.Config{})
	require.NoError(t, err)

	require.NoError(t, byURL.Lock())
	require.NoError(t, byInstance.Lock(), "while the other holds its own")

	require.NoError(t, byURL.Close())
	require.NoError(t, byInstance.Close())
}

func TestAloneWaiterOnPostgresGetsTheLockAfterItHasGivenUp(t *testing.T) {
	t.Parallel()
	s := newStage(t, role{kind: "postgres", lock: "advisory", way: "alone"})
	s.openGate()
	m, err := s.with(kinds["postgres"].open(s.dsn)) // opening waits for the lock too, and for ever
	require.NoError(t, err)
	holder, err := kinds["postgres"].open(s.dsn)
	require.NoError(t, err)
	require.NoError(t, holder.Lock())
	m.LockTimeout = 10 * time.Millisecond

	require.ErrorIs(t, m.Up(), migrate.ErrLockTimeout)

	s.eventually(1, "it waits", kinds["postgres"].asleep)
	require.NoError(t, holder.Close())
	s.eventually(0, "it waits no longer", kinds["postgres"].asleep)
	assert.False(t, s.keyIsFree(), "nobody migrates, and nobody else can")
	fromSource, fromDatabase := m.Close()
	require.NoError(t, errors.Join(fromSource, fromDatabase))
	require.Eventually(t, s.keyIsFree, patience, poll)
}

// keyIsFree tells whether golang-migrate's own lock can be had by another session.
func (s *stage) keyIsFree() (free bool) {
	s.Helper()
	u, err := url.Parse(s.dsn)
	require.NoError(s, err)
	// Open takes the path for the name of the database, with its slash.
	key, err := database.GenerateAdvisoryLockId(u.Path, "public", migratepgx.DefaultMigrationsTable)
	require.NoError(s, err)
	require.NoError(s, s.db.QueryRowContext(s.Context(), "SELECT pg_try_advisory_xact_lock("+key+")").Scan(&free))
	return free
}

func TestAloneReplicaOnMySQLGivesUpWhileAnotherMigrates(t *testing.T) {
	t.Parallel()
	s := newStage(t, role{kind: "mysql", lock: "named", way: "alone"})
	first := s.starts("first")
	s.awaitGated()

	second := s.startsTogether(1)
	s.eventually(1, "the second waits for ten seconds", `SELECT count(*) FROM information_schema.processlist
		WHERE db = DATABASE() AND state = 'User lock' AND info LIKE '%GET_LOCK(%, 10)'`)
	s.done(second...) // it has given up, and nobody can tell it to wait for longer
	assert.Equal(t, map[string]int{database.ErrLocked.Error(): 1}, s.outcomes())

	s.openGate()
	s.done(first)
	assert.Equal(t, 1, s.outcomes()["migrated"])
	s.leavesNobody()
}
