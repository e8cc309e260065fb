//go:build linux

package child

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

func requireCode(t *testing.T, c *Child, want int) {
	t.Helper()
	code, err := c.Wait()
	require.NoError(t, err)
	require.Equal(t, want, code)
}

func TestExitCodeIsTheCommands(t *testing.T) {
	t.Parallel()
	for script, want := range map[string]int{"exit 0": 0, "exit 7": 7, "exit 255": 255} {
		c, _ := startSh(t, script)
		requireCode(t, c, want)
	}
}

func TestDeathBySignalIs128PlusItsNumber(t *testing.T) {
	t.Parallel()
	for script, want := range map[string]int{"kill -KILL $$": 137, "kill -TERM $$": 143, "kill -USR1 $$": 138} {
		c, _ := startSh(t, script)
		requireCode(t, c, want)
	}
}

func TestArgumentsAndEnvironmentArriveAsGiven(t *testing.T) {
	t.Parallel()
	r, w := pipe(t)
	c, err := Start(Command{
		Args:   []string{"sh", "-c", `printf '<%s>' "$@"; env`, "sh", "a b", "$HOME", "", "*"},
		Env:    []string{"ONLY=this"},
		Stdout: w,
	})
	require.NoError(t, err)
	require.NoError(t, w.Close())
	out, err := io.ReadAll(r)
	require.NoError(t, err)
	requireCode(t, c, 0)
	require.Contains(t, string(out), "<a b><$HOME><><*>")
	require.Contains(t, string(out), "ONLY=this\n")
	require.NotContains(t, string(out), "HOME=")
}

func TestNilFilesAreTheNullDevice(t *testing.T) {
	t.Parallel()
	c, err := Start(Command{Args: []string{"sh", "-c", "echo lost && ! read line"}, Env: os.Environ()})
	require.NoError(t, err)
	requireCode(t, c, 0)
}

func TestCommandGetsNoDescriptorOfOursButZeroToTwo(t *testing.T) {
	t.Parallel()
	c, out := startSh(t, "echo leader=$$; exec sleep 1000")
	out.awaitPid(t, "leader")
	require.Eventually(t, func() bool { // the loader opens a library for a moment
		var ours []int
		for fd := range descriptors(t, c.Pid()) {
			if !slices.Contains(inherited, fd) {
				ours = append(ours, fd)
			}
		}
		slices.Sort(ours)
		return slices.Equal(ours, []int{0, 1, 2})
	}, patience, tick)
}

func TestCommandLeadsItsOwnProcessGroup(t *testing.T) {
	t.Parallel()
	c, _ := startSh(t, "exec sleep 1000")
	pgid, err := unix.Getpgid(c.Pid())
	require.NoError(t, err)
	require.Equal(t, c.Pid(), pgid)
}

func TestCommandThatCannotBeFoundIs127AndOneThatCannotBeStarted126(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(content), mode))
		return path
	}
	t.Setenv("PATH", os.Getenv("PATH")+":"+dir)
	write("not-executable-in-path", "", 0o644)
	for _, tt := range []struct {
		name, program string
		code          int
		err           error
	}{
		{"not in PATH", "no-such-program-anywhere", CodeNotFound, nil},
		{"empty", "", CodeNotFound, nil},
		{"no such file", filepath.Join(dir, "absent"), CodeNotFound, os.ErrNotExist},
		{"not executable", write("not-executable", "", 0o644), CodeCannotStart, os.ErrPermission},
		{"not executable in PATH", "not-executable-in-path", CodeCannotStart, os.ErrPermission},
		{"directory", dir, CodeCannotStart, nil},
		{"not a program", write("text", "neither ELF nor script", 0o755), CodeCannotStart, syscall.ENOEXEC},
		{"interpreter missing", write("script", "#!/no/such/interpreter\n", 0o755), CodeCannotStart, os.ErrNotExist},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, err := Start(Command{Args: []string{tt.program}})
			require.Nil(t, c)
			var start *StartError
			require.ErrorAs(t, err, &start)
			require.Equal(t, tt.code, start.Code)
			require.Equal(t, tt.program, start.Program)
			if tt.err != nil {
				require.ErrorIs(t, err, tt.err)
			}
			require.Empty(t, watchdogsOf(t, os.Getpid()))
		})
	}
}

func TestNoCommandIsAnErrorOfTheCaller(t *testing.T) {
	t.Parallel()
	_, err := Start(Command{})
	require.Error(t, err)
	var start *StartError
	require.False(t, errors.As(err, &start))
}

func TestSignalReachesTheWholeGroup(t *testing.T) {
	t.Parallel()
	for name, sig := range map[string]syscall.Signal{
		"TERM": syscall.SIGTERM, "INT": syscall.SIGINT, "HUP": syscall.SIGHUP, "QUIT": syscall.SIGQUIT,
	} {
		// The outer shell runs its trap only when the inner one has ended, so the signal must have reached both.
		c, out := startSh(t, "trap 'echo trapped; exit 3' "+name+"; sh -c 'echo ready; exec sleep 1000'; exit 4")
		out.await(t, "ready\n")
		c.Signal(sig)
		requireCode(t, c, 3)
		out.await(t, "trapped\n")
	}
}

func TestTerminateKillsWhatOutlivesTheLeader(t *testing.T) {
	t.Parallel()
	c, out := startSh(t, `sh -c 'trap "" TERM; echo grandchild=$$; exec sleep 1000' & wait`)
	grandchild := out.awaitPid(t, "grandchild")
	c.Terminate(time.Hour)
	requireCode(t, c, 143)
	requireDies(t, grandchild)
}

func TestTerminateAfterTheLeaderEndedDoesNothing(t *testing.T) {
	t.Parallel()
	c, _ := startSh(t, "exit 5")
	requireCode(t, c, 5)
	c.Terminate(0)
	c.Signal(syscall.SIGKILL)
	requireCode(t, c, 5)
}

func TestWithoutTerminateBackgroundProcessesAreLeftAlone(t *testing.T) {
	t.Parallel()
	c, out := startSh(t, `sleep 1000 & echo grandchild=$!`)
	grandchild := out.awaitPid(t, "grandchild")
	t.Cleanup(func() { _ = syscall.Kill(grandchild, syscall.SIGKILL) })
	requireCode(t, c, 0)
	require.False(t, isDead(grandchild))
}

func TestTermIgnoringCommandIsKilledAfterTheGraceAndNotBefore(t *testing.T) {
	t.Parallel()
	c, out := startSh(t, `trap "" TERM; echo ready; sleep 1000 & wait`)
	out.await(t, "ready\n")
	const grace = 300 * time.Millisecond
	began := time.Now()
	c.Terminate(grace)
	requireCode(t, c, 137)
	took := time.Since(began)
	require.GreaterOrEqual(t, took, grace)
	require.Less(t, took, grace+5*time.Second)
}

func TestTerminateReachesAStoppedCommand(t *testing.T) {
	t.Parallel()
	c, _ := startSh(t, `trap 'exit 4' TERM; kill -STOP $$; exit 5`)
	requireState(t, c.Pid(), "T")
	c.Terminate(time.Hour)
	requireCode(t, c, 4)
}

func TestFurtherTerminateBringsTheKillForward(t *testing.T) {
	t.Parallel()
	c, out := startSh(t, `trap "" TERM; echo ready; exec sleep 1000`)
	out.await(t, "ready\n")
	c.Terminate(time.Hour)
	c.Terminate(0)
	requireCode(t, c, 137)
}

func TestFurtherTerminateDoesNotPutTheKillOff(t *testing.T) {
	t.Parallel()
	c, out := startSh(t, `trap "" TERM; echo ready; exec sleep 1000`)
	out.await(t, "ready\n")
	c.Terminate(10 * time.Millisecond)
	c.Terminate(time.Hour)
	requireCode(t, c, 137)
}

func TestMethodsAreSafeWhileTheCommandEnds(t *testing.T) {
	t.Parallel()
	c, _ := startSh(t, "exec sleep 0.05")
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for {
				select {
				case <-c.Done():
					_, _ = c.Wait()
					return
				default:
					c.Signal(syscall.SIGCONT)
				}
			}
		})
	}
	all.Wait()
	requireCode(t, c, 0)
}
