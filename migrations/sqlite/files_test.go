package sqlite

import (
	"io/fs"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

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
	byUp := open(t, newFile(t))
	require.NoError(t, Up(t.Context(), byUp))
	bySQL := open(t, newFile(t))
	exec(t, conn(t, bySQL), "BEGIN IMMEDIATE; "+SQL()+"COMMIT")

	assert.Equal(t, describe(t, byUp), describe(t, bySQL))
	state := describe(t, bySQL)
	require.NoError(t, Up(t.Context(), bySQL))
	assert.Equal(t, state, describe(t, bySQL))
	require.NoError(t, Down(t.Context(), bySQL))
	assert.Empty(t, tables(t, bySQL))
}
