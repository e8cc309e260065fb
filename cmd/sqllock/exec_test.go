//go:build unix

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sqllock/toolkit/internal/testdb"
	"github.com/sqllock/toolkit/sqllock"
)

// report is a job that must not run twice at a time, and that would notice: only one can make a directory.
const report = `mkdir "$0/running" || exit 99
echo "$SQLLOCK_TOKEN" >> "$0/log"
echo ran
rmdir "$0/running"`

func TestTenProcessesRunTheReportOneAtATime(t *testing.T) {
	t.Parallel()
	test := func(t *testing.T, p place) {
		dir := t.TempDir()
		var jobs []*process
		for range 10 {
			jobs = append(jobs, p.exec(t, "nightly-report", "--", "sh", "-c", report, dir).start())
		}
		for _, job := range jobs {
			o := job.end()
			o.requireSilent(t, 0)
			require.Equal(t, "ran\n", o.stdout)
		}
		log, err := os.ReadFile(filepath.Join(dir, "log"))
		require.NoError(t, err)
		last := 0
		tokens := strings.Fields(string(log))
		require.Len(t, tokens, len(jobs))
		for _, text := range tokens {
			token, err := strconv.Atoi(text)
			require.NoError(t, err)
			require.Greater(t, token, last, "each holder's token is larger than the one before: %s", log)
			last = token
		}
		infos, err := p.locks.Locks(t.Context())
		require.NoError(t, err)
		require.Empty(t, infos)
	}
	withLeases(t, test)
	t.Run("advisory with tables", func(t *testing.T) {
		t.Parallel()
		p := newSessions(t)
		migrateUp(t, p.dsn)
		test(t, p)
	})
}

func TestWithoutDSNTheLocksAreInTheStateDirectory(t *testing.T) {
	t.Parallel()
	state := t.TempDir()
	program(t, "exec", "name", "--", "true").with("XDG_STATE_HOME="+state).run().requireSilent(t, 0)
	require.FileExists(t, filepath.Join(state, "sqllock", "locks.db"))

	home := t.TempDir()
	program(t, "exec", "name", "--", "true").with("XDG_STATE_HOME=relative", "HOME="+home).run().requireSilent(t, 0)
	require.FileExists(t, filepath.Join(home, ".local", "state", "sqllock", "locks.db"))

	program(t, "exec", "name", "--", "true").with("XDG_STATE_HOME=", "HOME=").run().requireError(t, exitUsage, "no DSN")
}

func TestInputOutputAndExitCodeAreTheCommands(t *testing.T) {
	t.Parallel()
	p := newSQLite(t)
	job := p.exec(t, "name", "--", "sh", "-c", "cat; echo oops >&2; exit 7")
	job.Stdin = strings.NewReader("from stdin")
	o := job.run()
	require.Equal(t, 7, o.code)
	require.Equal(t, "from stdin", o.stdout)
	require.Equal(t, "oops\n", o.stderr)

	o = p.exec(t, "name", "--", "sh", "-c", "kill -KILL $$").run()
	o.requireSilent(t, 137)
}

func TestCommandGetsItsFlagsAndNoShell(t *testing.T) {
	t.Parallel()
	p := newSQLite(t)
	for _, args := range [][]string{
		{"name", "--", "printf", "<%s>", "-n", "--", "$HOME", "*", "a b"},
		{"name", "printf", "<%s>", "-n", "--", "$HOME", "*", "a b"},
	} {
		o := p.exec(t, args...).run()
		o.requireSilent(t, 0)
		require.Equal(t, "<-n><--><$HOME><*><a b>", o.stdout)
	}
}

func TestCommandSeesTheLockAndNoneOfOurCredentials(t *testing.T) {
	t.Parallel()
	p := newSQLite(t)
	o := p.exec(t, "--owner", "me", "a name", "--", "env").
		with("SQLLOCK_TOKEN=inherited", "SQLLOCK_MINE=kept", "PGPASSWORD=kept").run()
	o.requireSilent(t, 0)
	env := strings.Split(o.stdout, "\n")
	require.Subset(t, env, []string{"SQLLOCK_NAME=a name", "SQLLOCK_TOKEN=1", "SQLLOCK_OWNER=me", "SQLLOCK_MINE=kept", "PGPASSWORD=kept"})
	require.NotContains(t, o.stdout, dsnVariable)
	require.Equal(t, 1, strings.Count(o.stdout, "SQLLOCK_TOKEN="))
}

func TestNameCanBeginWithADashOrBeOne(t *testing.T) {
	t.Parallel()
	p := newSQLite(t)
	for _, name := range []string{"-n", "--", "--help", " ", "ünï\n"} {
		o := p.exec(t, "--", name, "--", "printenv", "SQLLOCK_NAME").run()
		o.requireSilent(t, 0)
		require.Equal(t, name+"\n", o.stdout)
	}
}

func TestLockThatIsHeldElsewhereIsAConflict(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, p place) {
		p.acquire(t, "name")
		held := `"name" not acquired`
		if p.locks.Capabilities().Leases { // of a session lock the server does not say who holds it
			held += ": held by the test"
		}
		p.exec(t, "-n", "name", "--", "echo").run().requireError(t, exitConflict, held)
		p.exec(t, "-n", "-E", "42", "name", "--", "echo").run().requireError(t, 42)
		p.exec(t, "-w", "0", "name", "--", "echo").run().requireError(t, exitConflict, held)
		p.exec(t, "-n", "--namespace", "other", "name", "--", "true").run().requireSilent(t, 0)

		// Long enough for the database to say who holds it.
		o := p.exec(t, "-w", "2s", "-E", "0", "name", "--", "echo", "ran").run()
		o.requireError(t, 0, held, "waited 2s")
		require.Empty(t, o.stdout)
		require.GreaterOrEqual(t, o.took, 2*time.Second)
		require.Less(t, o.took, 12*time.Second)
		p.requireNoWaiters(t)
	})
}

func TestWaitEndsWithTheRelease(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, p place) {
		lock := p.acquire(t, "name")
		job := p.exec(t, "-w", "1h", "name", "--", "echo", "ran").start()
		p.awaitWaiters(t, 1)
		require.NoError(t, lock.Release(t.Context()))
		o := job.end()
		o.requireSilent(t, 0)
		require.Equal(t, "ran\n", o.stdout)
	})
}

func TestReadersTogetherAndNoWriterBesideThem(t *testing.T) {
	t.Parallel()
	withAllModes(t, func(t *testing.T, p place) {
		p.acquire(t, "name", sqllock.Shared())
		p.exec(t, "-n", "-s", "name", "--", "true").run().requireSilent(t, 0)
		p.exec(t, "-n", "name", "--", "true").run().requireError(t, exitConflict)
	})
}

func TestSlotsAreSoManyAndNoMore(t *testing.T) {
	t.Parallel()
	withAllModes(t, func(t *testing.T, p place) {
		p.acquire(t, "name", sqllock.Permits(2))
		p.exec(t, "-n", "--slots", "2", "name", "--", "true").run().requireSilent(t, 0)
		p.acquire(t, "name", sqllock.Permits(2))
		p.exec(t, "-n", "--slots", "2", "name", "--", "true").run().requireError(t, exitConflict)
	})
}

func TestAtLeastKeepsTheLockAfterTheCommandAndSqllockHaveEnded(t *testing.T) {
	t.Parallel()
	withLeases(t, func(t *testing.T, p place) {
		began := time.Now()
		p.exec(t, "--at-least", "2s", "name", "--", "true").run().requireSilent(t, 0)
		ended := time.Now()
		if p.exec(t, "-n", "name", "--", "true").run().code == 0 {
			require.Greater(t, time.Since(began), 2*time.Second, "the machine was busy for that long")
		}
		p.exec(t, "name", "--", "true").run().requireSilent(t, 0)
		require.GreaterOrEqual(t, time.Since(began), 2*time.Second)
		require.Less(t, time.Since(ended), patience)
	})
}

func TestVerboseTellsWhatHappensToTheLock(t *testing.T) {
	t.Parallel()
	p := newSQLite(t)
	lock := p.acquire(t, "name")
	job := p.exec(t, "-v", "name", "--", "true").start()
	p.awaitWaiters(t, 1)
	require.NoError(t, lock.Release(t.Context()))
	o := job.end()
	require.Equal(t, 0, o.code)
	lines := strings.Split(o.stderr, "\n")
	require.Len(t, lines, 4, o.stderr)
	require.Contains(t, lines[0], `sqllock: waiting: sqllock: lock "name" not acquired: held by the test`)
	require.Equal(t, `sqllock: acquired "name", token 2`, lines[1])
	require.Equal(t, `sqllock: released "name"`, lines[2])
}

func TestWrongUsageIs64(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		args string
		word string
	}{
		{"exec", "NAME"},
		{"exec name", "COMMAND"},
		{"exec name --", "COMMAND"},
		{"exec -- rm file", "no NAME before --"},
		{"exec -name -- true", "unknown shorthand flag"},
		{"exec --unknown name -- true", "unknown flag"},
		{"exec -n -w 1s name -- true", "--nonblock and --wait"},
		{"exec -s --slots 2 name -- true", "--shared and --slots"},
		{"exec --slots 0 name -- true", "between 1 and"},
		{"exec -w -1s name -- true", "negative"},
		{"exec -w soon name -- true", "invalid duration"},
		{"exec -E 256 name -- true", "between 0 and 255"},
		{"exec -E -1 name -- true", "between 0 and 255"},
		{"exec --ttl 1ms name -- true", "--ttl 1ms"},
		{"exec --ttl 48h name -- true", "--ttl 48h"},
		{"exec --ttl 3s --kill-after 1001ms name -- true", "between 0 and 1s"},
		{"exec --kill-after -1s name -- true", "--kill-after -1s"},
		{"exec --at-least -1s name -- true", "negative|between 0 and a year"},
		{"exec --backend named name -- true", "SQLite has only table"},
		{"exec --backend advisory name -- true", "SQLite has only table"},
		{"exec --dsn postgres://h --backend named name -- true", "PostgreSQL has only advisory and table"},
		{"exec --dsn postgres://h --ttl 1m name -- true", "--ttl is for leases.*--backend table"},
		{"exec --dsn postgres://h --backend advisory --ttl 15s name -- true", "--ttl is for leases.*--backend table"},
		{"exec --dsn postgres://h --at-least 1h name -- true", "--at-least is for leases.*--backend table"},
		{"exec --dsn postgres://h --kill-after 5001ms name -- true", "between 0 and 5s"},
		{"exec " + strings.Repeat("x", 256) + " -- true", "limit is 255"},
		{"exec \xff -- true", "UTF-8"},
		{"exec --namespace \xff name -- true", "UTF-8"},
		{"exec --owner \xff name -- true", "UTF-8"},
		{"nonsense", "unknown command"},
		{"migrate", "migrate needs one of"},
		{"migrate sideways", "unknown command"},
		{"migrate up now", "unknown command"},
		{"migrate down", "--yes"},
		{"migrate print --dialect oracle", "postgres, mysql or sqlite"},
	} {
		t.Run(tt.args, func(t *testing.T) {
			t.Parallel()
			o := program(t, strings.Split(tt.args, " ")...).run()
			o.requireError(t, exitUsage)
			require.Regexp(t, tt.word, o.stderr)
			require.Empty(t, o.stdout)
		})
	}
}

func TestCommandThatCannotStartIs126OrIs127AndTheLockIsReleased(t *testing.T) {
	t.Parallel()
	p := newSQLite(t)
	p.exec(t, "name", "--", "no-such-program").run().requireError(t, 127, `cannot start "no-such-program"`)
	file := filepath.Join(t.TempDir(), "text")
	require.NoError(t, os.WriteFile(file, nil, 0o644))
	p.exec(t, "name", "--", file).run().requireError(t, 126, fmt.Sprintf("cannot start %q", file))
	p.exec(t, "-n", "name", "--", "true").run().requireSilent(t, 0)
}

func TestMissingTablesAre78AndTheMessageNamesTheCommandThatMendsIt(t *testing.T) {
	t.Parallel()
	p := place{dsn: testdb.Postgres(t), flags: inTable}
	p.exec(t, "name", "--", "true").run().requireError(t, exitConfig, "sqllock migrate up")
	migrateUp(t, p.dsn)
	p.exec(t, "name", "--", "true").run().requireSilent(t, 0)
}

func TestBrokenStderrDoesNotCostTheCommandItsLife(t *testing.T) {
	t.Parallel()
	r, w, err := os.Pipe()
	require.NoError(t, err)
	require.NoError(t, r.Close())
	defer w.Close()
	job := newSQLite(t).exec(t, "-v", "name", "--", "sh", "-c", "echo ran; exit 3")
	job.Stderr = w
	o := job.run()
	require.Equal(t, 3, o.code)
	require.Equal(t, "ran\n", o.stdout)
}
