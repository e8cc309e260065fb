package postgres

import (
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sqllock/toolkit/internal/testdb"
)

var lockKeyText = strconv.FormatInt(lockKey, 10)

func TestLockKeyIsTheDocumentedOne(t *testing.T) {
	t.Parallel()
	db := open(t, testdb.Postgres(t))
	key := query(t, db, "SELECT ('x' || left(encode(sha256('sqllock_schema_version'), 'hex'), 16))::bit(64)::bigint::text")
	assert.Equal(t, []string{lockKeyText}, key)
}

func TestCreateIndexConcurrentlySucceedsWhileMigratorsWait(t *testing.T) {
	t.Parallel()
	dsn := testdb.Postgres(t)
	db := open(t, dsn)
	exec(t, db, "CREATE TABLE busy (n int)")
	holder := lockMigrations(t, db)
	const migrators = 4
	ups := make(chan error, migrators)
	for range migrators {
		waiter := open(t, dsn, "application_name=migrator")
		go func() { ups <- Up(t.Context(), waiter) }()
	}
	awaitWaiters(t, db, migrators)

	exec(t, holder, "CREATE INDEX CONCURRENTLY busy_n ON busy (n)") // by the one they wait for: a deadlock, if they blocked
	exec(t, db, "CREATE INDEX CONCURRENTLY busy_n_again ON busy (n)")

	holder.release(t)
	for range migrators {
		require.NoError(t, <-ups)
	}
}

func TestDefaultsOfTheRoleDoNotStopAMigration(t *testing.T) {
	t.Parallel()
	db := open(t, testdb.Postgres(t), "statement_timeout=500ms", "lock_timeout=500ms", "idle_in_transaction_session_timeout=500ms",
		"default_transaction_read_only=on", "default_transaction_isolation=serializable")
	db.SetMaxOpenConns(1)
	slow := with(t, "SELECT pg_sleep(0.7)")

	require.NoError(t, newOptions(nil).lockSchema(slow).Up(t.Context(), db))

	assert.Equal(t, []string{"500ms"}, query(t, db, "SHOW statement_timeout"), "again")
	const interval = "SELECT setting FROM pg_settings WHERE name = 'client_connection_check_interval' AND setting <> '0'"
	assert.Empty(t, query(t, db, interval), "0 again, or unknown before PostgreSQL 14")
}
