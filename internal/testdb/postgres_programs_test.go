//go:build linux

package testdb

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestNewestVersionWinsByNumber(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	for _, version := range []string{"9", "13", "15"} {
		fakePostgres(t, filepath.Join(root, version, "bin"))
	}
	// A client package alone has no server programs.
	require.NoError(t, os.MkdirAll(filepath.Join(root, "17", "bin"), 0o755))

	bin, ok := newestPostgres(root)

	require.True(t, ok)
	assert.Equal(t, filepath.Join(root, "15", "bin"), bin)
}

func TestNamedDirectoryIsTheOnlyOneLookedAt(t *testing.T) {
	named := t.TempDir()
	t.Setenv(envPostgresBin, named)

	_, err := postgresPrograms()
	require.ErrorContains(t, err, named)

	fakePostgres(t, named)
	bin, err := postgresPrograms()
	require.NoError(t, err)
	assert.Equal(t, named, bin)
}

func TestProgramLinkedIntoPathIsRunFromItsOwnDirectory(t *testing.T) {
	bin, path := t.TempDir(), t.TempDir()
	fakePostgres(t, bin)
	require.NoError(t, os.Symlink(filepath.Join(bin, "postgres"), filepath.Join(path, "postgres")))
	t.Setenv("PATH", path)
	t.Setenv(envPostgresBin, "")

	found, err := postgresPrograms()

	require.NoError(t, err)
	assert.Equal(t, bin, found)
}

func fakePostgres(t *testing.T, bin string) {
	t.Helper()
	for _, program := range []string{"initdb", "postgres"} {
		fakeProgram(t, bin, program)
	}
}
