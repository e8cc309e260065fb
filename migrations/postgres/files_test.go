package postgres

import (
	"io/fs"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sqllock/toolkit/internal/testdb"
	"github.com/sqllock/toolkit/migrations/internal/lockschema"
)

func TestLatestIsThatOfTheFiles(t *testing.T) {
	t.Parallel()
	latest, err := lockschema.Latest(Files())
	require.NoError(t, err)
	assert.Equal(t, Latest, latest)
}

func TestEveryMigrationHasItsReverse(t *testing.T) {
	t.Parallel()
	up, err := fs.Glob(Files(), "*.up.sql")
	require.NoError(t, err)
	down, err := fs.Glob(Files(), "*.down.sql")
	require.NoError(t, err)
	assert.Len(t, up, Latest)
	assert.Len(t, down, Latest)
}

func TestSQLLeavesTheSameBehindAsUp(t *testing.T) {
	t.Parallel()
	byUp := open(t, testdb.Postgres(t))
	require.NoError(t, Up(t.Context(), byUp))
	bySQL := open(t, testdb.Postgres(t))
	exec(t, bySQL, SQL())

	assert.Equal(t, describe(t, byUp, "public"), describe(t, bySQL, "public"))
	state := describe(t, bySQL, "public")
	require.NoError(t, Up(t.Context(), bySQL))
	assert.Equal(t, state, describe(t, bySQL, "public"))
	require.NoError(t, Down(t.Context(), bySQL))
	assert.Empty(t, tables(t, bySQL, "public"))
}
