//go:build linux

package testdb

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// poll is how often tests look whether something has happened.
const poll = 5 * time.Millisecond

// envVictim makes TestVictim do something; see there.
const envVictim = "SQLLOCK_TESTDB_VICTIM"

// TestVictim is not a test: it is what other tests run in a process of its own,
// to end that process or see how it ends. It prints the process's home, and then
// the address of each server that it has started.
func TestVictim(t *testing.T) {
	do := os.Getenv(envVictim)
	if do == "" {
		t.Skip("only runs inside other tests")
	}
	if do == "nothing" {
		return
	}
	skipIfShort(t)
	dir, err := home()
	require.NoError(t, err)
	say("home", dir)
	switch do {
	case "serve":
		say("database", Postgres(t))
	case "own":
		say("database", StartPostgres(t).DSN())
	case "fail":
		say("database", Postgres(t))
		t.Fail()
	case "leak":
		go func() { select {} }()
	case "panic":
		say("database", Postgres(t))
		panic("as asked for")
	case "hang":
		say("database", Postgres(t))
		hang()
	case "hang with a paused server":
		server := StartPostgres(t)
		server.Pause()
		say("database", server.DSN())
		hang()
	case "serve on a bare machine":
		debianPostgresql = "/nonexistent"
		Postgres(t)
	case "serve MySQL":
		say("database", MySQL(t).Addr)
	case "own MySQL":
		say("database", StartMySQL(t).Config().Addr)
	case "own Galera":
		say("database", StartGalera(t, 1)[0].Config().Addr)
	case "hang with MySQL":
		say("database", MySQL(t).Addr)
		hang()
	case "serve MySQL on a bare machine":
		sbin = "/nonexistent"
		MySQL(t)
	default:
		t.Fatalf("%s=%s is unknown", envVictim, do)
	}
}

// hang ends with the test that has started the victim, should nobody end it before.
func hang() { _, _ = io.Copy(io.Discard, os.Stdin) }

func say(what, value string) { fmt.Printf("victim's %s: %s\n", what, value) }

// A victim is a running process of this test binary that executes TestVictim.
type victim struct {
	t      *testing.T
	cmd    *exec.Cmd
	stdout *bufio.Reader // standard error too
	output *bytes.Buffer // what was read so far
}

// startVictim starts TestVictim. Arguments with a leading dash are flags, others
// are additions to the environment.
func startVictim(t *testing.T, do string, args ...string) *victim {
	t.Helper()
	skipIfShort(t)
	cmd := exec.Command(os.Args[0], "-test.run=^TestVictim$")
	cmd.Env = append(os.Environ(), envVictim+"="+do)
	for _, arg := range args {
		if strings.HasPrefix(arg, "-") {
			cmd.Args = append(cmd.Args, arg)
		} else {
			cmd.Env = append(cmd.Env, arg)
		}
	}
	// Ctrl-C reaches a whole process group; this way it is only the victim's.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	_, err := cmd.StdinPipe() // what hang reads
	require.NoError(t, err)
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	cmd.Stderr = cmd.Stdout // the same pipe
	v := &victim{t: t, cmd: cmd, output: new(bytes.Buffer)}
	v.stdout = bufio.NewReader(io.TeeReader(stdout, v.output))
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return v
}

func (v *victim) readHome() string { return v.read("home") }

func (v *victim) readDatabase() string { return v.read("database") }

func (v *victim) read(what string) string {
	v.t.Helper()
	for {
		line, err := v.stdout.ReadString('\n')
		require.NoError(v.t, err, v.output)
		if value, ok := strings.CutPrefix(line, "victim's "+what+": "); ok {
			return strings.TrimSpace(value)
		}
	}
}

// interrupt does what a terminal does on Ctrl-C.
func (v *victim) interrupt() {
	v.t.Helper()
	require.NoError(v.t, syscall.Kill(-v.cmd.Process.Pid, syscall.SIGINT))
}

func (v *victim) kill() {
	v.t.Helper()
	require.NoError(v.t, v.cmd.Process.Kill())
}

// wait waits for the victim's end and collects the rest of its output.
func (v *victim) wait() error {
	_, _ = io.Copy(io.Discard, v.stdout)
	return v.cmd.Wait()
}

// assertNothingLeft waits for the janitor, which needs an instant after the end
// of its test process, unless that process has waited for it.
func assertNothingLeft(t *testing.T, home string) {
	t.Helper()
	assert.Eventually(t, func() bool {
		_, err := os.Stat(home)
		return os.IsNotExist(err)
	}, 20*time.Second, poll, "the directory is gone")
	pids, err := processesIn(home)
	require.NoError(t, err)
	assert.Empty(t, pids, "the server's processes are gone")
}
