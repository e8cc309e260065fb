//go:build unix

package main

import (
	"database/sql"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sqllock/toolkit/internal/testdb"
	"github.com/sqllock/toolkit/mysql"
	"github.com/sqllock/toolkit/sqllock"
)

func TestBothFormsOfAMySQLDSNAreOneDatabase(t *testing.T) {
	t.Parallel()
	cfg := testdb.MySQL(t)
	for _, dsn := range []string{
		"mysql://" + cfg.User + "@" + cfg.Addr + "/" + cfg.DBName,
		"mariadb://" + cfg.User + ":@" + cfg.Addr + "/" + cfg.DBName + "?timeout=5s",
		cfg.User + "@tcp(" + cfg.Addr + ")/" + cfg.DBName,
		cfg.User + ":@tcp(" + cfg.Addr + ")/" + cfg.DBName + "?parseTime=true",
	} {
		holder := program(t, "exec", "name", "--", "sh", "-c", untilEOF).with(dsnVariable + "=" + dsn)
		stdin, err := holder.StdinPipe()
		require.NoError(t, err)
		holder.start().await("token 0")
		p := place{dsn: cfg.FormatDSN()}
		p.exec(t, "-n", "name", "--", "echo").run().requireError(t, exitConflict)
		p.exec(t, "-n", "--backend", kindNamed, "name", "--", "echo").run().requireError(t, exitConflict)
		require.NoError(t, stdin.Close())
		holder.end().requireSilent(t, 0)

		program(t, "migrate", "up").with(dsnVariable+"="+dsn).run().requireSilent(t, 0)
		o := program(t, "exec", "--backend", kindTable, "name", "--", "printenv", "SQLLOCK_TOKEN").with(dsnVariable + "=" + dsn).run()
		o.requireSilent(t, 0)
		require.NotEqual(t, "0\n", o.stdout)
	}
}

func TestPasswordReachesTheServerInBothFormsOfAMySQLDSN(t *testing.T) {
	t.Parallel()
	for dsn, want := range map[string]string{
		"mysql://me:simple@host/db":                "simple",
		"mysql://me:%40%3A%2F%3f%23%25%20@host/db": "@:/?#% ",
		"me:p@ss/w:rd?#@tcp(host:3306)/db":         "p@ss/w:rd?#",
	} {
		db, err := parseDSN(dsn)
		require.NoError(t, err, dsn)
		require.True(t, db.secret)
		require.Equal(t, want, db.mysql.Passwd)
		require.Equal(t, "me", db.mysql.User)
		require.Equal(t, "host:3306", db.mysql.Addr)
		require.Equal(t, "db", db.mysql.DBName)
		require.Equal(t, connectTimeout, db.mysql.Timeout)
	}
}

func TestServerThatIsNotThereIs69OnMySQL(t *testing.T) {
	t.Parallel()
	addr := unreachable(t)
	for _, args := range []string{"exec name -- true", "exec --backend table name -- true", "migrate up", "migrate status", "migrate down --yes"} {
		for _, dsn := range []string{"mysql://me:hunter2@" + addr + "/db", "me:hunter2@tcp(" + addr + ")/db"} {
			o := program(t, strings.Split(args, " ")...).with(dsnVariable + "=" + dsn).run()
			o.requireError(t, exitUnavailable, addr, "refused")
			require.NotContains(t, o.stderr, "hunter2")
		}
	}
}

func TestReadersAndSlotsOfMySQLNeedTheTable(t *testing.T) {
	t.Parallel()
	p := newNamed(t)
	for _, flags := range [][]string{{"-s"}, {"--slots", "2"}, {"--ttl", "10s"}, {"--at-least", "1s"}} {
		p.exec(t, append(flags, "name", "--", "echo")...).run().requireError(t, exitUsage, "--backend table")
	}
}

func TestMigrateInstallsShowsAndRemovesTheTablesOfMySQL(t *testing.T) {
	t.Parallel()
	cfg := testdb.MySQL(t)
	migrate := func(args ...string) string {
		o := program(t, append([]string{"migrate"}, args...)...).with(dsnVariable + "=" + cfg.FormatDSN()).run()
		o.requireSilent(t, 0)
		return o.stdout
	}
	require.Contains(t, migrate("status"), "not installed")
	p := place{dsn: cfg.FormatDSN(), flags: inTable}
	p.exec(t, "name", "--", "echo").run().requireError(t, exitConfig, "sqllock migrate up")
	require.Contains(t, migrate("up"), "up to date")
	p.exec(t, "name", "--", "true").run().requireSilent(t, 0)
	require.Contains(t, migrate("status"), "up to date")
	require.Equal(t, "removed\n", migrate("down", "--yes"))
	require.Contains(t, migrate("status"), "not installed")

	db, err := sql.Open("mysql", cfg.FormatDSN()+"?multiStatements=true")
	require.NoError(t, err)
	defer db.Close()
	_, err = db.Exec(migrate("print"))
	require.NoError(t, err)
	p.exec(t, "name", "--", "true").run().requireSilent(t, 0)
}

func TestKilledHolderOfANamedLockLeavesNeitherLockNorCommand(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("elsewhere the command of a killed sqllock lives on; see the package comment")
	}
	t.Parallel()
	p := newNamed(t)
	job := p.exec(t, "name", "--", "sh", "-c", stubborn).start()
	family := strings.Fields(job.line())
	require.Len(t, family, 2)
	job.signal(syscall.SIGTERM) // is passed on, which the watchdog's knowing of the group comes before
	job.await("TERM")
	job.signal(syscall.SIGKILL)
	killed := time.Now()
	p.acquire(t, "name")
	require.Less(t, time.Since(killed), sessionTimeout/3, "it is not by a timeout that it is free")
	require.Eventually(t, func() bool { return isDead(family[0]) && isDead(family[1]) }, patience, time.Millisecond)
	require.Equal(t, -int(syscall.SIGKILL), job.end().code)
}

func TestCommandIsEndedWhenItsNamedSessionIs(t *testing.T) {
	t.Parallel()
	cfg := testdb.MySQL(t)
	b := mysql.Named(cfg)
	t.Cleanup(func() { _ = b.Close(t.Context()) })
	p := newPlace(t, cfg.FormatDSN(), b)
	job := p.exec(t, "name", "--", "sh", "-c", obedient).start()
	job.await("ready")
	freed, err := b.Terminate(t.Context(), "name")
	require.NoError(t, err)
	require.Len(t, freed, 1)
	require.Equal(t, sqllock.ModeExclusive, freed[0].Mode)
	job.await("TERM")
	job.end().requireError(t, exitLost, `"name" lost`, "ending the command")
}
