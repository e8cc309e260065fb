//go:build linux

package testdb

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestNamedMySQLDirectoryIsTheOnlyOneLookedAt(t *testing.T) {
	named := t.TempDir()
	t.Setenv(envMySQLBin, named)

	_, err := findMySQLPrograms()
	require.ErrorContains(t, err, named)

	fakeProgram(t, named, "mysqld")
	programs, err := findMySQLPrograms()
	require.NoError(t, err)
	assert.Equal(t, mysqlPrograms{server: filepath.Join(named, "mysqld")}, programs)
}

func TestMySQLLinkedIntoPathIsRunFromItsOwnDirectory(t *testing.T) {
	bin, path := t.TempDir(), t.TempDir()
	fakeProgram(t, bin, "mysqld")
	require.NoError(t, os.Symlink(filepath.Join(bin, "mysqld"), filepath.Join(path, "mysqld")))
	t.Setenv("PATH", path)
	t.Setenv(envMySQLBin, "")

	programs, err := findMySQLPrograms()

	require.NoError(t, err)
	assert.Equal(t, mysqlPrograms{server: filepath.Join(bin, "mysqld")}, programs)
}

func TestMariaDBUnderItsOldNameIsNotTakenForMySQL(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	sbin := filepath.Join(root, "sbin")
	fakeProgram(t, sbin, "mysqld")
	fakeProgram(t, sbin, "mariadbd")

	_, ok := mysqlProgramsIn(sbin)
	assert.False(t, ok, "nothing can make its data directory")

	fakeProgram(t, filepath.Join(root, "bin"), "mariadb-install-db")
	programs, ok := mysqlProgramsIn(sbin)
	require.True(t, ok)
	assert.Equal(t, mysqlPrograms{
		server:  filepath.Join(sbin, "mariadbd"),
		install: filepath.Join(root, "bin", "mariadb-install-db"),
	}, programs)
}

func fakeProgram(t *testing.T, dir, program string) {
	t.Helper()
	require.NoError(t, os.MkdirAll(dir, 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(dir, program), []byte("#!/bin/sh\n"), 0o755))
}
