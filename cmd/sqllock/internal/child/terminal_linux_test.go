package child

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

const (
	ctrlC = "\x03"
	ctrlZ = "\x1a"
)

// pty is a terminal seen from the keyboard.
type pty struct {
	keys   io.Writer
	screen *transcript
	tty    *os.File
}

func openPTY(t *testing.T) pty {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	require.NoError(t, err)
	raw, err := master.SyscallConn() // not Fd, which would make reading block Close
	require.NoError(t, err)
	var number int
	var ioctlErr error
	require.NoError(t, raw.Control(func(fd uintptr) {
		if ioctlErr = unix.IoctlSetPointerInt(int(fd), unix.TIOCSPTLCK, 0); ioctlErr == nil {
			number, ioctlErr = unix.IoctlGetInt(int(fd), unix.TIOCGPTN)
		}
	}))
	require.NoError(t, ioctlErr)
	tty, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	require.NoError(t, err)
	screen := listen(t, master)
	t.Cleanup(func() { _ = tty.Close() })
	return pty{keys: master, screen: screen, tty: tty}
}

func (p pty) press(t *testing.T, keys string) {
	t.Helper()
	_, err := io.WriteString(p.keys, keys)
	require.NoError(t, err)
}

// login starts the helper as leader of a session on the terminal.
func (p pty) login(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	cmd.Stdin, cmd.Stdout, cmd.Stderr = p.tty, p.tty, p.tty
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Ctty: 0}
	startAndClean(t, cmd)
}

// job is a supervisor that a shell runs in the foreground.
type job struct {
	pty
	reports *transcript
	fg      *os.File
	stdout  *transcript // nil: the terminal
}

func startJob(t *testing.T, role string, stdoutIsPipe bool, script string) job {
	t.Helper()
	j := job{pty: openPTY(t)}
	reportsRead, reports := pipe(t)
	fgRead, fg := pipe(t)
	stdout := j.tty
	if stdoutIsPipe {
		var stdoutRead *os.File
		stdoutRead, stdout = pipe(t)
		j.stdout = listen(t, stdoutRead)
	}
	cmd := helper(t, "shell", role, "sh", "-c", script)
	cmd.ExtraFiles = []*os.File{reports, fgRead, stdout}
	j.login(t, cmd)
	require.NoError(t, reports.Close())
	if stdoutIsPipe {
		require.NoError(t, stdout.Close())
	}
	j.reports, j.fg = listen(t, reportsRead), fg
	return j
}

func (j job) foreground(t *testing.T) {
	t.Helper()
	_, err := io.WriteString(j.fg, "fg\n")
	require.NoError(t, err)
}

const reader = `echo leader=$$; read line; echo "got $line"`

func TestReaderOfTheTerminalIsNotStopped(t *testing.T) {
	t.Parallel()
	p := openPTY(t)
	p.login(t, helper(t, "supervisor", "sh", "-c", reader))
	p.screen.awaitPid(t, "leader")
	p.press(t, "hello\n")
	p.screen.await(t, "got hello")
}

func TestTerminalIsOursAgainWhenTheCommandHasEnded(t *testing.T) {
	t.Parallel()
	p := openPTY(t)
	p.login(t, helper(t, "supervisor that reads", "sh", "-c", reader))
	p.screen.awaitPid(t, "leader")
	p.press(t, "hello\n")
	p.screen.await(t, "got hello")
	p.press(t, "again\n")
	p.screen.await(t, "ours=<again>")
}

func TestTerminalIsOursAgainWhenTheCommandCouldNotStart(t *testing.T) {
	t.Parallel()
	notAProgram := t.TempDir() + "/text"
	require.NoError(t, os.WriteFile(notAProgram, []byte("neither ELF nor script"), 0o755))
	p := openPTY(t)
	p.login(t, helper(t, "supervisor that reads", notAProgram))
	p.press(t, "hello\n")
	p.screen.await(t, "ours=<hello>")
}

func TestInterruptKeyReachesTheCommand(t *testing.T) {
	t.Parallel()
	j := startJob(t, "supervisor", false, `echo leader=$$; exec sleep 1000`)
	j.screen.awaitPid(t, "leader")
	j.press(t, ctrlC)
	require.Equal(t, "130", j.reports.await(t, `exit (\d+)\n`))
}

func TestSuspendKeyStopsTheJobAndForegroundContinuesIt(t *testing.T) {
	t.Parallel()
	j := startJob(t, "supervisor", false, reader)
	leader := j.screen.awaitPid(t, "leader")
	j.press(t, ctrlZ)
	j.reports.await(t, "stopped\n")
	requireState(t, leader, "T")
	j.foreground(t)
	requireState(t, leader, "SR")
	j.press(t, "hello\n")
	j.screen.await(t, "got hello")
	require.Equal(t, "0", j.reports.await(t, `exit (\d+)\n`))
}

func TestStoppedCommandIsNotContinuedAgainstTheCallersWill(t *testing.T) {
	t.Parallel()
	j := startJob(t, "supervisor that refuses", false, reader)
	j.screen.awaitPid(t, "leader")
	j.press(t, ctrlZ)
	j.reports.await(t, "stopped\n")
	j.foreground(t)
	require.Equal(t, "143", j.reports.await(t, `exit (\d+)\n`))
}

func TestSuspendKeyHasNoEffectWhereNobodyCouldContinueUs(t *testing.T) {
	t.Parallel()
	p := openPTY(t)
	p.login(t, helper(t, "supervisor", "sh", "-c", reader)) // a session leader: no shell above it
	p.screen.awaitPid(t, "leader")
	p.press(t, ctrlZ)
	p.screen.await(t, `\^Z`)
	p.press(t, "hello\n")
	p.screen.await(t, "got hello")
}

func TestReaderInAPipelineGetsTheTerminalWhenItWantsIt(t *testing.T) {
	t.Parallel()
	j := startJob(t, "supervisor", true, reader)
	j.stdout.awaitPid(t, "leader")
	j.press(t, "hello\n")
	j.stdout.await(t, "got hello")
	require.Equal(t, "0", j.reports.await(t, `exit (\d+)\n`))
}

func TestSuspendKeyStopsACommandThatLeftTheTerminalToItsPipeline(t *testing.T) {
	t.Parallel()
	j := startJob(t, "supervisor", true, `echo leader=$$; exec sleep 1000`)
	leader := j.stdout.awaitPid(t, "leader")
	for range 2 {
		seen := j.reports.String()
		j.press(t, ctrlZ)
		require.Eventually(t, func() bool { return len(j.reports.String()) > len(seen) }, patience, tick)
		requireState(t, leader, "T")
		j.foreground(t)
		requireState(t, leader, "SR")
	}
	j.press(t, ctrlC)
	require.Equal(t, "130", j.reports.await(t, `exit (\d+)\n`))
}
