package postgres

import (
	"context"
	"errors"
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sqllock/toolkit/internal/testdb"
	"github.com/sqllock/toolkit/migrations/internal/lockschema"
)

func TestUpDownUp(t *testing.T) {
	t.Parallel()
	db := open(t, testdb.Postgres(t))
	version := func() uint {
		v, err := Version(t.Context(), db)
		require.NoError(t, err)
		return v
	}
	assert.EqualValues(t, 0, version())
	require.NoError(t, Down(t.Context(), db), "of nothing")
	assert.Empty(t, tables(t, db, "public"))

	require.NoError(t, Up(t.Context(), db))
	assert.EqualValues(t, Latest, version())
	state := describe(t, db, "public")

	require.NoError(t, Down(t.Context(), db))
	assert.EqualValues(t, 0, version())
	assert.Empty(t, tables(t, db, "public"))

	require.NoError(t, Up(t.Context(), db))
	assert.EqualValues(t, Latest, version())
	assert.Equal(t, state, describe(t, db, "public"))
}

func TestUpThatHasNothingToDoOnlyReadsTheVersion(t *testing.T) {
	t.Parallel()
	dsn := testdb.Postgres(t)
	db := open(t, dsn)
	require.NoError(t, Up(t.Context(), db))
	exec(t, db, "GRANT SELECT ON sqllock_schema_version TO pg_monitor")
	lockMigrations(t, db)
	writers := conn(t, db)
	exec(t, writers, "BEGIN")
	for _, table := range query(t, db, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'") {
		exec(t, writers, "LOCK TABLE "+table+" IN EXCLUSIVE MODE") // nobody but readers
	}

	reader := open(t, dsn, "role=pg_monitor", "default_transaction_read_only=on")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	assert.NoError(t, Up(ctx, reader))
}

func TestUpInAnotherSchema(t *testing.T) {
	t.Parallel()
	const name = `Locks of "us"`
	db := open(t, testdb.Postgres(t))
	db.SetMaxOpenConns(1)
	exec(t, db, "CREATE SCHEMA "+quote(name), "CREATE TEMPORARY TABLE sqllock_meta (mine int)")

	require.NoError(t, Up(t.Context(), db, Schema(name)))
	assert.Empty(t, tables(t, db, "public"))
	version, err := Version(t.Context(), db, Schema(name))
	require.NoError(t, err)
	assert.EqualValues(t, Latest, version)
	assert.Equal(t, []string{`"$user", public`}, query(t, db, "SHOW search_path"), "the session's own")

	require.NoError(t, Up(t.Context(), db), "the schemas are independent")
	require.NoError(t, Down(t.Context(), db, Schema(name)))
	assert.Empty(t, tables(t, db, name))
	assert.NotEmpty(t, tables(t, db, "public"))
	assert.Empty(t, query(t, db, "SELECT mine::text FROM pg_temp.sqllock_meta"))
}

func TestUpInMissingSchemaSaysSo(t *testing.T) {
	t.Parallel()
	db := open(t, testdb.Postgres(t))
	const name = "nowhere"

	err := Up(t.Context(), db, Schema(name))

	require.ErrorContains(t, err, "migrations/postgres: ")
	require.ErrorContains(t, err, `schema "nowhere" does not exist`)
	require.NoError(t, Down(t.Context(), db, Schema(name)))
	version, err := Version(t.Context(), db, Schema(name))
	require.NoError(t, err)
	assert.Zero(t, version)
	assert.Empty(t, tables(t, db, "public"))
}

func TestDirtyVersionIsAnErrorAndLeftAlone(t *testing.T) {
	t.Parallel()
	for _, version := range []int{-1, 1, Latest, Latest + 1} {
		db := open(t, testdb.Postgres(t))
		require.NoError(t, Up(t.Context(), db))
		exec(t, db, "UPDATE sqllock_schema_version SET dirty = true, version = "+strconv.Itoa(version))
		state := describe(t, db, "public")

		require.ErrorIs(t, Up(t.Context(), db), ErrDirty)
		require.ErrorIs(t, Down(t.Context(), db), ErrDirty)
		_, err := Version(t.Context(), db)
		require.ErrorIs(t, err, ErrDirty)
		require.ErrorContains(t, err, `migrations/postgres: the schema is marked dirty: "public".sqllock_schema_version`)

		assert.Equal(t, state, describe(t, db, "public"))
	}
}

func TestNewerVersionIsLeftAlone(t *testing.T) {
	t.Parallel()
	db := open(t, testdb.Postgres(t))
	require.NoError(t, Up(t.Context(), db))
	exec(t, db, "UPDATE sqllock_schema_version SET version = 7")
	state := describe(t, db, "public")

	require.NoError(t, Up(t.Context(), db))
	version, err := Version(t.Context(), db)
	require.NoError(t, err)
	assert.EqualValues(t, 7, version)
	require.ErrorContains(t, Down(t.Context(), db), "newer than this program")

	assert.Equal(t, state, describe(t, db, "public"))
}

func TestWaiterSeesWhatHappenedMeanwhile(t *testing.T) {
	t.Parallel()
	for what, test := range map[string]struct {
		meanwhile string
		want      error
	}{
		"installed": {meanwhile: SQL()},
		"newer":     {meanwhile: SQL() + "UPDATE sqllock_schema_version SET version = 7"},
		"dirty":     {meanwhile: SQL() + "UPDATE sqllock_schema_version SET dirty = true", want: ErrDirty},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			dsn := testdb.Postgres(t)
			db := open(t, dsn)
			holder := lockMigrations(t, db)
			up := make(chan error, 1)
			waiter := open(t, dsn, "application_name=migrator", "default_transaction_isolation=serializable")
			go func() { up <- Up(t.Context(), waiter) }()
			awaitWaiters(t, db, 1)

			exec(t, holder, test.meanwhile)
			state := describe(t, db, "public")
			holder.release(t)

			require.ErrorIs(t, <-up, test.want)
			assert.Equal(t, state, describe(t, db, "public"))
		})
	}
}

func TestFailedMigrationChangesNothing(t *testing.T) {
	t.Parallel()
	db := open(t, testdb.Postgres(t))
	broken := with(t, "CREATE TABLE half_done (); SELECT 1/0", "CREATE TABLE more ()")

	err := newOptions(nil).lockSchema(broken).Up(t.Context(), db)

	require.Equal(t, "22012", sqlState(err), "%v", err)
	assert.Empty(t, tables(t, db, "public"))
	require.NoError(t, Up(t.Context(), db))
	err = newOptions(nil).lockSchema(broken).Up(t.Context(), db)
	require.Equal(t, "22012", sqlState(err), "%v", err)
	version, err := Version(t.Context(), db)
	require.NoError(t, err)
	assert.EqualValues(t, Latest, version)
}

func TestMigrationThatIsCancelledChangesNothing(t *testing.T) {
	t.Parallel()
	db := open(t, testdb.Postgres(t))
	hanging := with(t, "CREATE TABLE half_done (); SELECT pg_sleep(3600)")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	up := make(chan error, 1)
	go func() { up <- newOptions(nil).lockSchema(hanging).Up(ctx, db) }()
	require.Eventually(t, func() bool {
		return len(query(t, db, `
			SELECT pid::text FROM pg_stat_activity
			WHERE datname = current_database() AND pid <> pg_backend_pid() AND wait_event = 'PgSleep'`)) == 1
	}, patience, poll)

	cancel()

	require.ErrorIs(t, <-up, context.Canceled)
	require.NoError(t, Up(t.Context(), db))
	version, err := Version(t.Context(), db)
	require.NoError(t, err)
	assert.EqualValues(t, Latest, version)
}

func TestTablesInstalledByOtherMeansAreNotTouched(t *testing.T) {
	t.Parallel()
	for what, install := range map[string]string{
		"without a version":                        file(t, 1, "up"),
		"with the version of before the last file": lockschema.Script("", release(t, Latest-1)) + file(t, Latest, "up"),
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			db := open(t, testdb.Postgres(t))
			exec(t, db, install)
			before := tables(t, db, "public")

			require.ErrorContains(t, Up(t.Context(), db), `make "public".sqllock_schema_version what it is in the text of SQL()`)

			assert.Equal(t, before, tables(t, db, "public"))
		})
	}
}

func TestRoleWithoutRightsIsToldSo(t *testing.T) {
	t.Parallel()
	dsn := testdb.Postgres(t)
	db := open(t, dsn)
	exec(t, db, "CREATE SCHEMA locks")

	err := Up(t.Context(), open(t, dsn, "role=pg_monitor"), Schema("locks"))

	require.Equal(t, "42501", sqlState(err), "%v", err)
	require.ErrorContains(t, err, `to create and drop tables in schema "locks"`)
	assert.Empty(t, tables(t, db, "locks"))
}

func TestWaitEndsWithItsContext(t *testing.T) {
	t.Parallel()
	dsn := testdb.Postgres(t)
	db := open(t, dsn)
	lockMigrations(t, db)
	reason := errors.New("shutting down")
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	waiter := open(t, dsn, "application_name=migrator")
	up := make(chan error, 1)
	go func() { up <- Up(ctx, waiter) }()
	awaitWaiters(t, db, 1)

	cancel(reason)

	require.ErrorIs(t, <-up, reason)
	assert.Empty(t, tables(t, db, "public"))
}
