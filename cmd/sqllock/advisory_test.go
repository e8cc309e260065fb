//go:build unix

package main

import (
	"fmt"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sqllock/toolkit/internal/testdb"
	"github.com/sqllock/toolkit/sqllock"
)

// untilEOF tells its token and lasts until its stdin ends.
const untilEOF = `echo "token $SQLLOCK_TOKEN"; cat`

func TestWithoutFlagsAndTablesExecAndTheLibraryExcludeEachOther(t *testing.T) {
	t.Parallel()
	p := newSessions(t)
	lock := p.acquire(t, "name")
	p.exec(t, "-n", "name", "--", "echo").run().requireError(t, exitConflict)
	p.exec(t, "-n", "--backend", kindAdvisory, "name", "--", "echo").run().requireError(t, exitConflict)
	require.NoError(t, lock.Release(t.Context()))

	job := p.exec(t, "-v", "name", "--", "sh", "-c", untilEOF).with("SQLLOCK_TOKEN=7")
	stdin, err := job.StdinPipe()
	require.NoError(t, err)
	job.start().await("token 0")
	for _, opts := range [][]sqllock.Option{nil, {sqllock.Shared()}, {sqllock.Permits(2)}} {
		_, err = p.locks.TryAcquire(t.Context(), "name", opts...)
		require.ErrorIs(t, err, sqllock.ErrNotAcquired)
	}
	require.NoError(t, stdin.Close())
	o := job.end()
	require.Equal(t, 0, o.code)
	require.Equal(t, "sqllock: acquired \"name\"\nsqllock: released \"name\"\n", o.stderr)
	p.acquire(t, "name")
}

func TestSessionLockAndLeaseDoNotExcludeEachOther(t *testing.T) {
	t.Parallel()
	p := newPostgres(t)
	p.acquire(t, "name")
	p.flags = nil
	p.exec(t, "-n", "name", "--", "true").run().requireSilent(t, 0)
}

func TestSessionLockHasATokenWhereTheTablesAre(t *testing.T) {
	t.Parallel()
	p := newSessions(t)
	migrateUp(t, p.dsn)
	earlier := p.acquire(t, "name")
	require.NoError(t, earlier.Release(t.Context()))
	o := p.exec(t, "name", "--", "printenv", "SQLLOCK_TOKEN").run()
	o.requireSilent(t, 0)
	token, err := strconv.ParseInt(strings.TrimSpace(o.stdout), 10, 64)
	require.NoError(t, err)
	require.Greater(t, token, earlier.Token())
	require.Greater(t, p.acquire(t, "name").Token(), token)

	// With the tables elsewhere there is none, and a lock all the same.
	o = p.exec(t, "--schema", "elsewhere", "other", "--", "printenv", "SQLLOCK_TOKEN").run()
	o.requireSilent(t, 0)
	require.Equal(t, "0\n", o.stdout)
}

func TestKilledHolderOfASessionLockLeavesNeitherLockNorCommand(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("elsewhere the command of a killed sqllock lives on; see the package comment")
	}
	t.Parallel()
	p := newSessions(t)
	for _, flags := range [][]string{nil, {"-s"}, {"--slots", "1"}} {
		job := p.exec(t, append(flags, "name", "--", "sh", "-c", stubborn)...).start()
		family := strings.Fields(job.line())
		require.Len(t, family, 2)
		job.signal(syscall.SIGTERM) // is passed on, which the watchdog's knowing of the group comes before
		job.await("TERM")
		job.signal(syscall.SIGKILL)
		killed := time.Now()
		lock := p.acquire(t, "name")
		require.Less(t, time.Since(killed), sessionTimeout/3, "it is not by a timeout that it is free")
		require.Eventually(t, func() bool { return isDead(family[0]) && isDead(family[1]) }, patience, time.Millisecond)
		require.Equal(t, -int(syscall.SIGKILL), job.end().code)
		require.NoError(t, lock.Release(t.Context()))
	}
}

// endSessions is what an administrator does to those who call themselves so.
func endSessions(t *testing.T, p place, application string) {
	t.Helper()
	var ended int
	require.NoError(t, newPool(t, p.dsn).QueryRow(t.Context(),
		"SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = $1", application).Scan(&ended))
	require.Equal(t, 1, ended)
}

func TestCommandIsEndedWhenItsSessionIs(t *testing.T) {
	t.Parallel()
	p := newSessions(t)
	job := p.exec(t, "--owner", "mild", "mild", "--", "sh", "-c", obedient).start()
	job.await("ready")
	endSessions(t, p, "mild")
	job.await("TERM")
	job.end().requireError(t, exitLost, `"mild" lost`, "terminat", "ending the command")

	const grace = 500 * time.Millisecond
	job = p.exec(t, "--owner", "tough", "--kill-after", grace.String(), "tough", "--", "sh", "-c", stubborn).start()
	job.line()
	began := time.Now()
	endSessions(t, p, "tough")
	job.await("TERM")
	p.acquire(t, "tough")
	o := job.end()
	o.requireError(t, exitLost, `"tough" lost`, "ending the command")
	require.GreaterOrEqual(t, time.Since(began), grace)
}

func TestStoppedSqllockEndsItsCommandWhenItFindsItsSessionEnded(t *testing.T) {
	t.Parallel()
	p := newSessions(t)
	job := p.exec(t, "--owner", "stopped", "--kill-after", "150ms", "name", "--", "sh", "-c", stubborn).start()
	job.line()
	job.signal(syscall.SIGSTOP)
	endSessions(t, p, "stopped")
	lock := p.acquire(t, "name")
	job.signal(syscall.SIGCONT)
	o := job.end()
	o.requireError(t, exitLost, `"name" lost`, "ending the command")
	require.Contains(t, o.stdout, "TERM\n")
	require.NoError(t, lock.Release(t.Context()))
}

// TestServerLetsGoOfAStoppedSqllockWhichEndsItsCommandThen takes the 15 s of sessionTimeout, for which the server waits to hear from us.
func TestServerLetsGoOfAStoppedSqllockWhichEndsItsCommandThen(t *testing.T) {
	t.Parallel()
	p := newSessions(t)
	var version int
	require.NoError(t, newPool(t, p.dsn).QueryRow(t.Context(), "SELECT current_setting('server_version_num')::int").Scan(&version))
	if version < 140000 {
		t.Skip("this server has no idle_session_timeout")
	}
	job := p.exec(t, "--kill-after", "150ms", "name", "--", "sh", "-c", stubborn).start()
	job.line()
	job.signal(syscall.SIGSTOP)
	lock := p.acquire(t, "name")
	job.signal(syscall.SIGCONT)
	job.end().requireError(t, exitLost, `"name" lost`, "ending the command")
	require.NoError(t, lock.Release(t.Context()))
}

// TestFrozenServerEndsTheCommandBeforeItCouldLetGo takes eight seconds, after which the holder of a session lock gives up.
func TestFrozenServerEndsTheCommandBeforeItCouldLetGo(t *testing.T) {
	t.Parallel()
	server := testdb.StartPostgres(t)
	p := sessionPlace(t, server.DSN())
	job := p.exec(t, "name", "--", "sh", "-c", stubborn).start()
	family := strings.Fields(job.line())
	frozen := time.Now()
	server.Pause()
	job.await("TERM")
	told := time.Now()
	o := job.end()
	o.requireError(t, exitLost, `"name" lost`, "has not answered", "ending the command")
	require.True(t, isDead(family[0]) && isDead(family[1]))
	require.Greater(t, time.Since(told), time.Second, "it had its grace")
	require.Less(t, time.Since(frozen), sessionTimeout)
	server.Resume()
}

func TestPoolerThatSharesSessionsIsRefusedWithAdviceThatWorks(t *testing.T) {
	t.Parallel()
	p := newSessions(t)
	migrateUp(t, p.dsn)
	direct := p.dsn
	for _, settings := range [][]string{nil, {"default_pool_size=1"}, {"pool_mode=statement"}} {
		p.dsn = testdb.PgBouncer(t, direct, settings...)
		p.exec(t, "name", "--", "echo").run().requireError(t, exitConfig, "pooler", "session mode", "--backend table", "sqllock migrate up")
	}

	p.dsn = testdb.PgBouncer(t, direct) + "&default_query_exec_mode=exec"
	p.flags = inTable
	job := p.exec(t, "name", "--", "sh", "-c", untilEOF)
	stdin, err := job.StdinPipe()
	require.NoError(t, err)
	job.start().await("token 1")
	p.exec(t, "-n", "name", "--", "echo").run().requireError(t, exitConflict)
	require.NoError(t, stdin.Close())
	job.end().requireSilent(t, 0)

	p.dsn = testdb.PgBouncer(t, direct, "pool_mode=session")
	p.flags = nil
	p.exec(t, "name", "--", "true").run().requireSilent(t, 0)
	p.acquire(t, "name")
	p.exec(t, "-n", "name", "--", "echo").run().requireError(t, exitConflict)
}

func TestServerWithoutRoomForAnotherLockIs69(t *testing.T) {
	t.Parallel()
	server := testdb.StartPostgres(t, "max_locks_per_transaction=10", "max_connections=10")
	p := sessionPlace(t, server.DSN())
	hog, err := newPool(t, p.dsn).Acquire(t.Context())
	require.NoError(t, err)
	defer hog.Release()
	for key := 0; err == nil; key++ {
		_, err = hog.Exec(t.Context(), "SELECT pg_advisory_lock($1)", key)
	}
	p.exec(t, "name", "--", "echo").run().requireError(t, exitUnavailable, "out of shared memory")

	err = advise(fmt.Errorf("wrapped: %w", sqllock.ErrTooMany))
	require.Equal(t, exitUnavailable, exitCode(err))
	require.ErrorContains(t, err, "--backend table")
}
