//go:build unix

package main

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sqllock/toolkit/internal/testdb"
)

func TestMigrateInstallsShowsAndRemovesTheTables(t *testing.T) {
	t.Parallel()
	test := func(t *testing.T, dsn string) {
		migrate := func(args ...string) outcome {
			return program(t, append([]string{"migrate"}, args...)...).with(dsnVariable + "=" + dsn).run()
		}
		for range 2 { // the second time there is nothing to do
			o := migrate("up")
			o.requireSilent(t, 0)
			require.Equal(t, "version 1, up to date\n", o.stdout)
		}
		o := migrate("status")
		o.requireSilent(t, 0)
		require.Equal(t, "version 1, up to date\n", o.stdout)
		migrate("down").requireError(t, exitUsage, "--yes")
		o = migrate("down", "--yes")
		o.requireSilent(t, 0)
		require.Equal(t, "removed\n", o.stdout)
		o = migrate("status")
		o.requireSilent(t, 0)
		require.Equal(t, "not installed; the latest version is 1\n", o.stdout)
	}
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		test(t, testdb.Postgres(t))
	})
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		test(t, "sqlite:"+t.TempDir()+"/locks.db")
	})
}

func TestSchemaThatDoesNotExistIsNamed(t *testing.T) {
	t.Parallel()
	dsn := testdb.Postgres(t)
	o := program(t, "migrate", "up", "--schema", "elsewhere", "--dsn", dsn).run()
	o.requireError(t, exitUnavailable, `"elsewhere"`, "CREATE SCHEMA")
	o = program(t, "exec", "--backend", "table", "--schema", "elsewhere", "--dsn", dsn, "name", "--", "true").run()
	o.requireError(t, exitConfig, "sqllock migrate up", "elsewhere")
}

func TestStatusDoesNotMakeTheFile(t *testing.T) {
	t.Parallel()
	file := t.TempDir() + "/locks.db"
	program(t, "migrate", "status", "--dsn", "sqlite:"+file).run().requireError(t, exitUnavailable, file)
	program(t, "migrate", "down", "--yes", "--dsn", "sqlite:"+file).run().requireError(t, exitUnavailable, file)
	require.NoFileExists(t, file)
}

func TestPrintNeedsNoDatabase(t *testing.T) {
	t.Parallel()
	for dialect, args := range map[string][]string{
		"postgres": {"--dialect", "postgres"},
		"sqlite":   {"--dsn", "sqlite:absent.db"},
	} {
		o := program(t, append([]string{"migrate", "print"}, args...)...).run()
		o.requireSilent(t, 0)
		require.Contains(t, o.stdout, "CREATE TABLE sqllock_sessions", dialect)
	}
}
