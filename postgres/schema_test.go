package postgres_test

import (
	"context"
	"database/sql"
	"fmt"
	"io/fs"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sqllock/toolkit/internal/testdb"
	migrations "github.com/sqllock/toolkit/migrations/postgres"
	"github.com/sqllock/toolkit/postgres"
	"github.com/sqllock/toolkit/sqllock"
)

// fresh is a client of an empty database, without the toolkit's tables.
func fresh(t *testing.T, opts ...postgres.Option) (*sqllock.Client, *sql.DB) {
	t.Helper()
	dsn := testdb.Postgres(t)
	pool, err := pgxpool.New(t.Context(), dsn)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	locks := sqllock.New(postgres.Table(pool, opts...))
	t.Cleanup(func() { assert.NoError(t, locks.Close(context.Background())) })
	return locks, connect(t, dsn)
}

func TestMissingTablesAreAnErrorThatNamesTheCommand(t *testing.T) {
	t.Parallel()
	locks, db := fresh(t)
	for _, err := range []error{locks.Ping(t.Context()), acquire(t, locks)} {
		require.ErrorIs(t, err, sqllock.ErrSchema)
		require.NotErrorIs(t, err, sqllock.ErrNotAcquired)
		require.ErrorContains(t, err, "sqllock migrate up")
	}
	require.NoError(t, migrations.Up(t.Context(), db))
	require.NoError(t, locks.Ping(t.Context()))
	require.NoError(t, acquire(t, locks))
}

func TestTablesOfTheFutureAreRefusedUnlessTheyServeUs(t *testing.T) {
	t.Parallel()
	locks, db := fresh(t)
	require.NoError(t, migrations.Up(t.Context(), db))
	_, err := db.ExecContext(t.Context(), "insert into sqllock_schema_version values (1000, false)")
	require.NoError(t, err)
	require.NoError(t, acquire(t, locks))

	_, err = db.ExecContext(t.Context(), "update sqllock_meta set oldest_reader = 1000")
	require.NoError(t, err)
	err = locks.Ping(t.Context())
	require.ErrorIs(t, err, sqllock.ErrSchema)
	require.ErrorContains(t, err, fmt.Sprintf("of version 1000 and need a newer build of this program; this one knows version %d", migrations.Latest))
}

func TestTablesOfVersion1ServeAndAreUpgradedWhileInUse(t *testing.T) {
	t.Parallel()
	locks, db := fresh(t)
	first, err := fs.ReadFile(migrations.Files(), "0001_locks.up.sql")
	require.NoError(t, err)
	for _, statements := range []string{
		string(first),
		"create table sqllock_schema_version (version bigint not null primary key, dirty boolean not null)",
		"insert into sqllock_schema_version values (1, false)",
	} {
		_, err = db.ExecContext(t.Context(), statements)
		require.NoError(t, err)
	}
	require.NoError(t, locks.Ping(t.Context()))
	lock, err := locks.TryAcquire(t.Context(), "n")
	require.NoError(t, err)

	require.NoError(t, migrations.Up(t.Context(), db))

	require.NoError(t, lock.Verify(t.Context()))
	require.NoError(t, lock.Release(t.Context()))
	again, err := locks.TryAcquire(t.Context(), "n")
	require.NoError(t, err)
	require.Greater(t, again.Token(), lock.Token())
	require.NoError(t, again.Release(t.Context()))
}

func TestTablesAreFoundInTheirSchemaAndNotBySearchPath(t *testing.T) {
	t.Parallel()
	const odd = `Odd "schema".name`
	locks, db := fresh(t, postgres.Schema(odd))
	_, err := db.ExecContext(t.Context(), `create schema "Odd ""schema"".name"`)
	require.NoError(t, err)
	require.NoError(t, migrations.Up(t.Context(), db))
	require.ErrorIs(t, acquire(t, locks), sqllock.ErrSchema)
	require.NoError(t, migrations.Up(t.Context(), db, migrations.Schema(odd)))
	require.NoError(t, acquire(t, locks))
}

func acquire(t *testing.T, locks *sqllock.Client) error {
	t.Helper()
	lock, err := locks.TryAcquire(t.Context(), "n")
	if err != nil {
		return err
	}
	return lock.Release(t.Context())
}
