//go:build unix

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sqllock/toolkit/internal/testdb"
)

// stubborn is a command with a grandchild. Neither minds TERM, but the command tells of it. Their pids are on the first line.
const stubborn = `exec 2>/dev/null # the shell's remarks on signals
trap 'echo TERM' TERM
sh -c 'trap "" TERM; while :; do sleep 1; done' &
echo $$ $!
while :; do sleep 0.02; done`

// obedient says so, and claims that all went well.
const obedient = `exec 2>/dev/null
trap 'echo TERM; exit 0' TERM
echo ready
while :; do sleep 0.02; done`

func TestKilledHolderTakesItsCommandAlongBeforeTheNextOneHolds(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("elsewhere the command of a killed sqllock lives on; see the package comment")
	}
	t.Parallel()
	const ttl = time.Second
	withLeases(t, func(t *testing.T, p place) {
		first := p.exec(t, "--ttl", ttl.String(), "name", "--", "sh", "-c", stubborn).start()
		family := strings.Fields(first.line())
		require.Len(t, family, 2)
		// The next one sees for itself that the first one's family is dead. A zombie is, it only has not been buried.
		next := p.exec(t, "name", "--", "sh", "-c",
			`for pid; do ! grep -s '^State:' /proc/$pid/status | grep -v '[ZX]' || exit 9; done; echo alone`, "sh", family[0], family[1]).start()
		p.awaitWaiters(t, 1)
		first.signal(syscall.SIGKILL)
		killed := time.Now()
		next.await("alone")
		require.Less(t, time.Since(killed), ttl+5*time.Second)
		next.end().requireSilent(t, 0)
		require.Equal(t, -int(syscall.SIGKILL), first.end().code)
	})
}

func TestCommandIsEndedWhenTheLockIsTakenAway(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, p place) {
		job := p.exec(t, "name", "--", "sh", "-c", obedient).start()
		job.await("ready")
		require.NoError(t, p.locks.ForceRelease(t.Context(), "name"))
		job.await("TERM")
		job.end().requireError(t, exitLost, `"name" lost`, "released by force", "ending the command")
		p.exec(t, "-n", "name", "--", "true").run().requireSilent(t, 0)
	})
}

func TestCommandThatDoesNotEndIsKilledAfterTheGraceAndNotBefore(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, p place) {
		const grace = 500 * time.Millisecond
		job := p.exec(t, "--kill-after", grace.String(), "name", "--", "sh", "-c", stubborn).start()
		job.line()
		began := time.Now()
		require.NoError(t, p.locks.ForceRelease(t.Context(), "name"))
		o := job.end()
		o.requireError(t, exitLost, "released by force")
		require.Contains(t, o.stdout, "TERM\n")
		require.GreaterOrEqual(t, time.Since(began), grace)
		require.Less(t, o.took, grace+5*time.Second)
	})
}

func TestCommandThatEndedBeforeItsLockWasSeenLostDidNotHoldItToTheEnd(t *testing.T) {
	t.Parallel()
	p := newSQLite(t)
	job := p.exec(t, "name", "--", "sh", "-c", "echo ready; read line; exit 0")
	stdin, err := job.StdinPipe()
	require.NoError(t, err)
	job.start().await("ready")
	job.signal(syscall.SIGSTOP) // so that it cannot see
	require.NoError(t, p.locks.ForceRelease(t.Context(), "name"))
	require.NoError(t, stdin.Close())
	job.signal(syscall.SIGCONT)
	o := job.end()
	require.Equal(t, exitLost, o.code)
	require.Contains(t, o.stderr, "lost")
}

func TestCommandIsNotStartedWithoutTheLock(t *testing.T) {
	t.Parallel()
	p := newSQLite(t)
	lock := p.acquire(t, "name")
	require.NoError(t, p.locks.ForceRelease(t.Context(), "name"))
	<-lock.Done()
	stderr, err := os.CreateTemp(t.TempDir(), "stderr")
	require.NoError(t, err)
	defer stderr.Close()
	started := filepath.Join(t.TempDir(), "started")
	h := &holder{cli: &cli{messages: &messages{file: stderr}}}
	require.ErrorIs(t, h.supervise(lock, []string{"touch", started}, nil), errLost)
	require.NoFileExists(t, started)
	h.messages.flush()
	told, err := os.ReadFile(stderr.Name())
	require.NoError(t, err)
	require.Equal(t, "sqllock: lock \"name\" lost: released by force; the command was not started\n", string(told))
}

func TestStoppedSqllockKillsItsCommandWhenItFindsTheLeaseOver(t *testing.T) {
	t.Parallel()
	withLeases(t, func(t *testing.T, p place) {
		job := p.exec(t, "--ttl", "500ms", "--kill-after", "150ms", "name", "--", "sh", "-c", stubborn).start()
		job.line()
		job.signal(syscall.SIGSTOP)
		lock := p.acquire(t, "name") // when the lease has run out
		job.signal(syscall.SIGCONT)
		o := job.end()
		o.requireError(t, exitLost, "ending the command")
		require.NoError(t, lock.Release(t.Context()))
	})
}

func TestFrozenDatabaseEndsTheCommandBeforeTheLeaseEnds(t *testing.T) {
	t.Parallel()
	const ttl, grace = 6 * time.Second, time.Second // long, for the sake of the tenth that a slow machine may use up
	server := testdb.StartPostgres(t)
	p := postgresPlace(t, server.DSN())
	flags := []string{"--ttl", ttl.String(), "--kill-after", grace.String()}
	mild := p.exec(t, append(flags, "mild", "--", "sh", "-c", obedient)...).start()
	mild.await("ready")
	tough := p.exec(t, append(flags, "tough", "--", "sh", "-c", stubborn)...).start()
	family := strings.Fields(tough.line())

	// Just after the renewal of one of them the other's is at most a third of the TTL old.
	expires := p.expiry(t, "tough")
	require.Eventually(t, func() bool { return p.expiry(t, "tough").After(expires) }, patience, 5*time.Millisecond)
	expires = p.expiry(t, "tough")
	frozen := time.Now()
	server.Pause()

	mild.await("TERM")
	require.Less(t, time.Since(frozen), ttl)
	o := mild.end()
	o.requireError(t, exitLost, `the lease on "mild" could not be renewed in time`, "ending the command")
	require.Less(t, o.took, 2*time.Second, "sqllock has nothing to wait for")

	tough.await("TERM")
	told := time.Now()
	require.WithinRange(t, told, frozen.Add(ttl/3), expires)
	require.Eventually(t, func() bool { return isDead(family[0]) && isDead(family[1]) }, patience, time.Millisecond)
	require.Less(t, time.Now(), expires, "the lease has ended, and the command has not")
	require.Greater(t, time.Since(told), grace/2)
	o = tough.end()
	o.requireError(t, exitLost, `the lease on "tough" could not be renewed in time`)
	server.Resume()
}

// isDead counts a zombie as dead: whoever adopted it may take its time.
func isDead(pid string) bool {
	status, err := os.ReadFile("/proc/" + pid + "/status")
	return err != nil || regexp.MustCompile(`(?m)^State:\s*[ZX]`).Match(status)
}

// expiry is when the lease ends in the database, whose clock is ours.
func (p place) expiry(t *testing.T, name string) time.Time {
	t.Helper()
	infos, err := p.locks.Locks(t.Context())
	require.NoError(t, err)
	for _, i := range infos {
		if i.Name == name && !i.Waiting {
			return i.Expires
		}
	}
	require.Fail(t, fmt.Sprintf("%q is not held", name))
	return time.Time{}
}
