package sqlite

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestUpDownUp(t *testing.T) {
	t.Parallel()
	db := open(t, newFile(t))
	version := func() uint {
		v, err := Version(t.Context(), db)
		require.NoError(t, err)
		return v
	}
	assert.EqualValues(t, 0, version())
	require.NoError(t, Down(t.Context(), db), "of nothing")
	assert.Empty(t, tables(t, db))

	require.NoError(t, Up(t.Context(), db))
	assert.EqualValues(t, Latest, version())
	state := describe(t, db)

	require.NoError(t, Down(t.Context(), db))
	assert.EqualValues(t, 0, version())
	assert.Empty(t, tables(t, db))

	require.NoError(t, Up(t.Context(), db))
	assert.EqualValues(t, Latest, version())
	assert.Equal(t, state, describe(t, db))
}

func TestUpThatHasNothingToDoOnlyReadsTheVersion(t *testing.T) {
	t.Parallel()
	path := newFile(t)
	require.NoError(t, Up(t.Context(), open(t, path)))
	exec(t, conn(t, open(t, path)), "BEGIN IMMEDIATE") // the lock of the migrations

	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	require.NoError(t, Up(ctx, open(t, path)))
	require.NoError(t, Up(ctx, open(t, "file:"+path+"?mode=ro")))
}

func TestDirtyVersionIsAnErrorAndLeftAlone(t *testing.T) {
	t.Parallel()
	for _, version := range []string{"-1", "1", "2"} {
		db := open(t, newFile(t))
		require.NoError(t, Up(t.Context(), db))
		exec(t, conn(t, db), "UPDATE sqllock_schema_version SET dirty = true, version = "+version)
		state := describe(t, db)

		require.ErrorIs(t, Up(t.Context(), db), ErrDirty)
		require.ErrorIs(t, Down(t.Context(), db), ErrDirty)
		_, err := Version(t.Context(), db)
		require.ErrorIs(t, err, ErrDirty)
		require.ErrorContains(t, err, `migrations/sqlite: the schema is marked dirty: main.sqllock_schema_version`)

		assert.Equal(t, state, describe(t, db))
	}
}

func TestNewerVersionIsLeftAlone(t *testing.T) {
	t.Parallel()
	db := open(t, newFile(t))
	require.NoError(t, Up(t.Context(), db))
	exec(t, conn(t, db), "UPDATE sqllock_schema_version SET version = 7")
	state := describe(t, db)

	require.NoError(t, Up(t.Context(), db))
	version, err := Version(t.Context(), db)
	require.NoError(t, err)
	assert.EqualValues(t, 7, version)
	require.ErrorContains(t, Down(t.Context(), db), "newer than this program")

	assert.Equal(t, state, describe(t, db))
}

func TestFailedMigrationChangesNothing(t *testing.T) {
	t.Parallel()
	db := open(t, newFile(t))
	db.SetMaxOpenConns(1)
	broken := with(t, map[string]string{
		"0002_broken.up.sql": "CREATE TABLE half_done (half); SELECT missing",
		"0003_more.up.sql":   "CREATE TABLE more (more)",
	})

	require.ErrorContains(t, broken.Up(t.Context(), db), "no such column: missing")

	assert.Empty(t, tables(t, db))
	require.NoError(t, Up(t.Context(), db))
	require.ErrorContains(t, broken.Up(t.Context(), db), "no such column: missing")
	version, err := Version(t.Context(), db)
	require.NoError(t, err)
	assert.EqualValues(t, Latest, version)
}

func TestMigrationThatIsCancelledChangesNothing(t *testing.T) {
	t.Parallel()
	path := newFile(t)
	db := open(t, path)
	db.SetMaxOpenConns(1)
	endless := with(t, map[string]string{
		"0002_hang.up.sql": "CREATE TABLE half_done (half); " +
			"INSERT INTO half_done WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n+1 FROM n) SELECT max(n) FROM n",
	})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	up := make(chan error, 1)
	go func() { up <- endless.Up(ctx, db) }()
	awaitLocked(t, path)

	cancel()

	require.ErrorIs(t, <-up, context.Canceled)
	assert.Empty(t, tables(t, db))
	require.NoError(t, Up(t.Context(), db))
}
