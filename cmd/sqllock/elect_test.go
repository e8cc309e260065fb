//go:build unix

package main

import (
	"encoding/json"
	"fmt"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sqllock/toolkit/internal/testdb"
	"github.com/sqllock/toolkit/sqllock"
)

// elect prepares sqllock elect in this place.
func (p place) elect(t *testing.T, args ...string) *process {
	t.Helper()
	return program(t, slices.Concat([]string{"elect"}, p.flags, args)...).with(dsnVariable + "=" + p.dsn)
}

// everywhereWithTables runs the test with every backend, where those that keep leaders in the toolkit's tables have them.
func everywhereWithTables(t *testing.T, test func(t *testing.T, p place)) {
	everywhere(t, func(t *testing.T, p place) {
		if !p.locks.Capabilities().Leases {
			program(t, "migrate", "up").with(dsnVariable+"="+p.dsn).run().requireSilent(t, 0)
		}
		test(t, p)
	})
}

// leading tells who leads, and lasts until TERM.
const leading = `exec 2>/dev/null
trap 'echo TERM; exit 5' TERM
echo "$SQLLOCK_NAME $SQLLOCK_OWNER"
while :; do sleep 0.02; done`

func TestKilledLeaderTakesItsCommandAlongAndTheNextOneLeads(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("elsewhere the command of a killed sqllock lives on; see the package comment")
	}
	t.Parallel()
	everywhere(t, func(t *testing.T, p place) {
		longest := sessionTimeout / 3 // that of a session lock, which is free at once
		if p.locks.Capabilities().Leases {
			p.flags = append(slices.Clone(p.flags), "--ttl", "1s")
			longest = time.Second + patience/6
		}
		first := p.elect(t, "name", "--", "sh", "-c", stubborn).start()
		family := strings.Fields(first.line())
		require.Len(t, family, 2)
		next := p.elect(t, "--owner", "next", "name", "--", "sh", "-c", leading).start()
		p.awaitWaiters(t, 1)
		first.signal(syscall.SIGTERM) // is passed on, which the watchdog's knowing of the group comes before
		first.await("TERM")
		first.signal(syscall.SIGKILL)
		killed := time.Now()
		next.await("name next")
		require.Less(t, time.Since(killed), longest)
		require.Eventually(t, func() bool { return isDead(family[0]) && isDead(family[1]) }, patience, time.Millisecond)
		require.Equal(t, -int(syscall.SIGKILL), first.end().code)
		next.signal(syscall.SIGTERM)
		next.await("TERM")
		next.end().requireSilent(t, 5)
	})
}

func TestLeaderThatIsToldToEndHandsOverAtOnce(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, p place) {
		first := p.elect(t, "--restart", "--owner", "first", "name", "--", "sh", "-c", leading).start()
		first.await("name first")
		next := p.elect(t, "--owner", "next", "name", "--", "sh", "-c", leading).start()
		p.awaitWaiters(t, 1)
		first.signal(syscall.SIGTERM)
		told := time.Now()
		first.await("TERM")
		next.await("name next")
		require.Less(t, time.Since(told), sqllock.DefaultTTL/3, "it is not by a timeout that it leads")
		first.end().requireSilent(t, 5)
		next.signal(syscall.SIGTERM)
		next.await("TERM")
		next.end().requireSilent(t, 5)
	})
}

func TestCommandThatEndsByItselfEndsTheTermWithItsCode(t *testing.T) {
	t.Parallel()
	p := newSQLite(t)
	first := p.elect(t, "name", "--", "sh", "-c", "echo leads; read line; exit 7")
	stdin, err := first.StdinPipe()
	require.NoError(t, err)
	first.start().await("leads")
	next := p.elect(t, "-v", "name", "--", "printenv", "SQLLOCK_TOKEN").start()
	p.awaitWaiters(t, 1)
	require.NoError(t, stdin.Close())
	first.end().requireSilent(t, 7)
	o := next.end()
	require.Equal(t, 0, o.code)
	require.Equal(t, "2\n", o.stdout)
	require.Contains(t, o.stderr, "elected")
	require.Contains(t, o.stderr, "token=2")
}

func TestRestartStandsBackForOthersAndLeadsAgain(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, p place) {
		ready := func(code int) *process {
			return p.elect(t, "--restart", "--stand-back", "100ms", "name", "--", "sh", "-c", fmt.Sprintf("echo leads; exit %d", code)).start()
		}
		content, failing := ready(0), ready(3)
		for range 2 {
			content.await("leads")
			failing.await("leads")
		}
		for _, job := range []*process{content, failing} {
			job.signal(syscall.SIGTERM)
			o := job.end()
			require.Contains(t, []int{0, 3, 143}, o.code, "that of the last command, or of having waited")
			if job == failing {
				require.Contains(t, o.stderr, "exit code 3")
			}
		}
		p.acquire(t, "name")
	})
}

func TestLossEndsTheCommandAndTheNextTermStartsItAgain(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, p place) {
		job := p.elect(t, "--owner", "me", "name", "--", "sh", "-c", leading).start()
		job.await("name me")
		require.NoError(t, p.locks.ForceRelease(t.Context(), "name"))
		job.await("TERM")
		job.await("name me")
		_, err := p.locks.TryAcquire(t.Context(), "name")
		require.ErrorIs(t, err, sqllock.ErrNotAcquired)
		job.signal(syscall.SIGTERM)
		job.await("TERM")
		o := job.end()
		require.Equal(t, 5, o.code)
		require.Contains(t, o.stderr, "sqllock: lock \"name\" lost: released by force; ending the command\n")
	})
}

func TestFrozenDatabaseEndsTheCommandAndTheNextTermStartsItAgain(t *testing.T) {
	t.Parallel()
	server := testdb.StartPostgres(t)
	p := postgresPlace(t, server.DSN())
	job := p.elect(t, "--owner", "me", "--ttl", "3s", "name", "--", "sh", "-c", leading).start()
	job.await("name me")
	expires := p.expiry(t, "name")
	server.Pause()
	job.await("TERM")
	require.Less(t, time.Now(), expires.Add(time.Second), "the lease was renewed once more at most") // which is a third of it
	server.Resume()
	job.await("name me")
	job.signal(syscall.SIGTERM)
	job.await("TERM")
	o := job.end()
	require.Equal(t, 5, o.code)
	require.Contains(t, o.stderr, `the lease on "name" could not be renewed in time; ending the command`)
}

func TestLossAfterASignalIs75(t *testing.T) {
	t.Parallel()
	p := newSQLite(t)
	job := p.elect(t, "--kill-after", "100ms", "name", "--", "sh", "-c", stubborn).start()
	job.line()
	job.signal(syscall.SIGTERM)
	job.await("TERM")
	require.NoError(t, p.locks.ForceRelease(t.Context(), "name"))
	job.end().requireError(t, exitLost, `"name" lost`, "ending the command")
}

func TestCommandThatEndedBeforeTheLossWasSeenDidNotLeadToTheEnd(t *testing.T) {
	t.Parallel()
	p := newSQLite(t)
	job := p.elect(t, "name", "--", "sh", "-c", "echo ready; read line; exit 0")
	stdin, err := job.StdinPipe()
	require.NoError(t, err)
	job.start().await("ready")
	job.signal(syscall.SIGSTOP) // so that it cannot see
	require.NoError(t, p.locks.ForceRelease(t.Context(), "name"))
	require.NoError(t, stdin.Close())
	job.signal(syscall.SIGCONT)
	job.await("ready") // in a further term, and this time there is nothing to read
	o := job.end()
	require.Equal(t, 0, o.code, o.stderr)
	require.Contains(t, o.stderr, "lost")
}

func TestSignalEndsTheCampaign(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, p place) {
		p.acquire(t, "name")
		job := p.elect(t, "--restart", "name", "--", "echo", "ran").start()
		p.awaitWaiters(t, 1)
		job.signal(syscall.SIGINT)
		o := job.end()
		o.requireError(t, 128+int(syscall.SIGINT), `"name"`, "interrupted by signal")
		require.Empty(t, o.stdout)
		p.requireNoWaiters(t)
	})
}

func TestLeaderThatCannotStartItsCommandGivesUp(t *testing.T) {
	t.Parallel()
	p := newSQLite(t)
	p.elect(t, "--restart", "name", "--", "no-such-program").run().requireError(t, 127, `cannot start "no-such-program"`)
	_, err := p.locks.TryAcquire(t.Context(), "name")
	require.NoError(t, err)
}

// seen is what an observer prints of a leader.
type seen struct {
	Time   time.Time
	Leader *string
	Token  int64
	Value  map[string]string
}

func TestObservePrintsEachLeaderInOrder(t *testing.T) {
	t.Parallel()
	everywhereWithTables(t, func(t *testing.T, p place) {
		observe := func(flags ...string) *process {
			return p.elect(t, append(flags, "--observe", "--interval", "20ms", "name")...).start()
		}
		text, lines := observe(), observe("--json")
		var last string
		// next is the next leader that both tell of. That there is none for a moment, they may tell too.
		next := func() (s seen) {
			for {
				last = text.line()
				require.Regexp(t, `^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z `, last)
				if !strings.HasSuffix(last, " -") {
					break
				}
			}
			for s.Leader == nil {
				s = seen{}
				require.NoError(t, json.Unmarshal([]byte(lines.line()), &s))
			}
			require.True(t, strings.HasPrefix(last, s.Time.Format("2006-01-02T15:04:05.000Z")), "%s is not of %v", last, s.Time)
			return s
		}
		require.Regexp(t, ` -$`, text.line(), "nobody leads yet")
		require.Contains(t, lines.line(), `"leader":null`)

		first := p.elect(t, "--owner", "the first", "--value", "address=10.0.0.7:8080", "--value", "zone=a=b", "name", "--", "sh", "-c", leading).start()
		first.await("name the first")
		s := next()
		require.Equal(t, "the first", *s.Leader)
		require.Equal(t, map[string]string{"address": "10.0.0.7:8080", "zone": "a=b"}, s.Value)
		require.Regexp(t, `Z "the first" `+fmt.Sprint(s.Token)+` address=10\.0\.0\.7:8080 zone="a=b"$`, last)
		leader, err := p.locks.Leader(t.Context(), "name")
		require.NoError(t, err)
		require.Equal(t, leader.Token, s.Token)

		second := p.elect(t, "--owner", "second", "name", "--", "sh", "-c", leading).start()
		p.awaitWaiters(t, 1)
		first.signal(syscall.SIGTERM)
		second.await("name second")
		t2 := next()
		require.Equal(t, "second", *t2.Leader)
		require.Regexp(t, `Z second \d+$`, last)
		require.False(t, t2.Time.Before(s.Time))
		if s.Token != 0 {
			require.Greater(t, t2.Token, s.Token)
		}
		second.signal(syscall.SIGTERM)
		require.Regexp(t, ` -$`, text.line())
		require.Contains(t, lines.line(), `"leader":null`)

		for _, job := range []*process{text, lines} {
			job.signal(syscall.SIGINT)
			job.end().requireError(t, 128+int(syscall.SIGINT), "interrupted by signal")
		}
		require.Equal(t, 5, first.end().code)
		require.Equal(t, 5, second.end().code)
	})
}

func TestWithoutTablesSessionLocksElectButTellNobody(t *testing.T) {
	t.Parallel()
	test := func(t *testing.T, p place) {
		p.elect(t, "--observe", "name").run().requireError(t, exitConfig, "sqllock migrate up")
		o := p.elect(t, "--value", "a=b", "name", "--", "echo", "ran").run()
		require.Equal(t, exitConfig, o.code)
		require.Empty(t, o.stdout)
		require.Regexp(t, `(?m)^sqllock: .*sqllock migrate up`, o.stderr)
		o = p.elect(t, "name", "--", "echo", "ran").run()
		o.requireSilent(t, 0)
		require.Equal(t, "ran\n", o.stdout)
	}
	t.Run("advisory", func(t *testing.T) {
		t.Parallel()
		test(t, newSessions(t))
	})
	t.Run("named on MySQL", func(t *testing.T) {
		t.Parallel()
		test(t, newNamed(t))
	})
}

func TestElectionThatCannotReachItsDatabaseIs69(t *testing.T) {
	t.Parallel()
	addr := unreachable(t)
	for _, args := range []string{"elect name -- true", "elect --observe name"} {
		program(t, strings.Split(args, " ")...).with(dsnVariable+"=postgres://"+addr+"/db?sslmode=disable").run().
			requireError(t, exitUnavailable, addr)
	}
}

func TestWrongUsageOfElectIs64(t *testing.T) {
	t.Parallel()
	for args, word := range map[string]string{
		"elect":                                                  "elect needs the NAME",
		"elect name":                                             "elect needs a COMMAND",
		"elect -- rm file":                                       "no NAME before --",
		"elect --observe":                                        "needs the NAME",
		"elect --observe name -- true":                           "nothing else",
		"elect --json name -- true":                              "--json is for --observe",
		"elect --interval 1s name -- true":                       "--interval is for --observe",
		"elect --observe --value a=b name":                       "--value is for those who lead",
		"elect --observe --restart name":                         "--restart is for those who lead",
		"elect --observe --interval 0s name":                     "--interval 0s",
		"elect --stand-back 25h name true":                       "--stand-back 25h",
		"elect --value a name -- true":                           "KEY=VALUE",
		"elect --value =a name -- true":                          "KEY=VALUE",
		"elect --value a=\xff name -- true":                      "UTF-8",
		"elect --ttl 1ms name -- true":                           "--ttl 1ms",
		"elect --ttl 3s --kill-after 2s name -- true":            "between 0 and 1s",
		"elect --dsn postgres://h --ttl 1m name -- true":         "--ttl is for leases.*--backend table",
		"elect --slots 2 name -- true":                           "unknown flag",
		"elect " + strings.Repeat("x", 256) + " -- true":         "limit is 255",
		"elect --observe " + strings.Repeat("x", 256):            "limit is 255",
		"elect --value a=" + strings.Repeat("x", 9<<10) + " n c": "limit is 8192",
	} {
		o := program(t, strings.Split(args, " ")...).run()
		o.requireError(t, exitUsage)
		require.Regexp(t, regexp.MustCompile(word), o.stderr, args)
	}
}
