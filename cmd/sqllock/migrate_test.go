//go:build unix

package main

import (
	"database/sql"
	"fmt"
	"io/fs"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sqllock/toolkit/internal/testdb"
	postgresschema "github.com/sqllock/toolkit/migrations/postgres"
)

func TestMigrateInstallsShowsAndRemovesTheTables(t *testing.T) {
	t.Parallel()
	test := func(t *testing.T, dsn string, latest int) {
		migrate := func(args ...string) outcome {
			return program(t, append([]string{"migrate"}, args...)...).with(dsnVariable + "=" + dsn).run()
		}
		for range 2 { // the second time there is nothing to do
			o := migrate("up")
			o.requireSilent(t, 0)
			require.Equal(t, fmt.Sprintf("version %d, up to date\n", latest), o.stdout)
		}
		o := migrate("status")
		o.requireSilent(t, 0)
		require.Equal(t, fmt.Sprintf("version %d, up to date\n", latest), o.stdout)
		migrate("down").requireError(t, exitUsage, "--yes")
		o = migrate("down", "--yes")
		o.requireSilent(t, 0)
		require.Equal(t, "removed\n", o.stdout)
		o = migrate("status")
		o.requireSilent(t, 0)
		require.Equal(t, fmt.Sprintf("not installed; the latest version is %d\n", latest), o.stdout)
	}
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		test(t, testdb.Postgres(t), 2)
	})
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		test(t, "sqlite:"+t.TempDir()+"/locks.db", 1)
	})
}

func TestTablesOfAnOlderReleaseAreShownAndUpgraded(t *testing.T) {
	t.Parallel()
	dsn := testdb.Postgres(t)
	db, err := sql.Open("pgx", dsn)
	require.NoError(t, err)
	defer db.Close()
	first, err := fs.ReadFile(postgresschema.Files(), "0001_locks.up.sql")
	require.NoError(t, err)
	_, err = db.ExecContext(t.Context(), string(first)+`
		CREATE TABLE sqllock_schema_version (version bigint NOT NULL PRIMARY KEY, dirty boolean NOT NULL);
		INSERT INTO sqllock_schema_version (version, dirty) VALUES (1, false)`)
	require.NoError(t, err)
	migrate := func(args ...string) outcome {
		o := program(t, append([]string{"migrate", "--dsn", dsn}, args...)...).run()
		o.requireSilent(t, 0)
		return o
	}

	require.Equal(t, "version 1; the latest version is 2\n", migrate("status").stdout)
	program(t, "exec", "--backend", "table", "--dsn", dsn, "name", "--", "true").run().requireSilent(t, 0)
	require.Equal(t, "version 2, up to date\n", migrate("up").stdout)
	require.Equal(t, "removed\n", migrate("down", "--yes").stdout)
	require.Equal(t, "not installed; the latest version is 2\n", migrate("status").stdout)
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
	for version, args := range map[string][]string{
		"VALUES (2, false);": {"--dialect", "postgres"},
		"VALUES (1, false);": {"--dsn", "sqlite:absent.db"},
	} {
		o := program(t, append([]string{"migrate", "print"}, args...)...).run()
		o.requireSilent(t, 0)
		require.Contains(t, o.stdout, "CREATE TABLE sqllock_sessions")
		require.Contains(t, o.stdout, version)
	}
}
