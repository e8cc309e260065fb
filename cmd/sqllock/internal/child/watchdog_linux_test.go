package child

import (
	"io"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// family is a leader with a grandchild that no parent-death signal reaches. Neither minds TERM.
const family = `trap "" TERM; sh -c 'echo grandchild=$$; exec sleep 1000' & echo leader=$$; wait`

func TestKilledSupervisorTakesTheWholeGroupAlong(t *testing.T) {
	t.Parallel()
	supervisor, out := startSupervisor(t, family)
	leader, grandchild := out.awaitPid(t, "leader"), out.awaitPid(t, "grandchild")
	require.NoError(t, supervisor.Process.Kill())
	requireDies(t, leader)
	requireDies(t, grandchild)
	<-out.eof // nobody is left who could write, the watchdog included
}

func TestWatchdogSurvivesTheSignalsThatEndOthers(t *testing.T) {
	t.Parallel()
	supervisor, out := startSupervisor(t, family)
	grandchild := out.awaitPid(t, "grandchild")
	dogs := watchdogsOf(t, supervisor.Process.Pid)
	require.Len(t, dogs, 1)
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGQUIT} {
		require.NoError(t, syscall.Kill(dogs[0], sig))
	}
	require.NoError(t, supervisor.Process.Kill())
	requireDies(t, grandchild)
	requireDies(t, dogs[0])
}

func TestLeaderDiesWithTheSupervisorThoughTheWatchdogIsDead(t *testing.T) {
	t.Parallel()
	supervisor, out := startSupervisor(t, "echo leader=$$; exec sleep 1000")
	leader := out.awaitPid(t, "leader")
	dogs := watchdogsOf(t, supervisor.Process.Pid)
	require.Len(t, dogs, 1)
	require.NoError(t, syscall.Kill(dogs[0], syscall.SIGKILL))
	requireState(t, dogs[0], "Z")
	require.False(t, isDead(leader), "the watchdog's death concerns nobody")
	require.NoError(t, supervisor.Process.Kill())
	requireDies(t, leader)
}

func TestWatchdogKeepsNothingOfOursOpen(t *testing.T) {
	t.Parallel()
	supervisor, out := startSupervisor(t, "echo leader=$$; exec sleep 1000")
	leader := descriptors(t, out.awaitPid(t, "leader"))
	dogs := watchdogsOf(t, supervisor.Process.Pid)
	require.Len(t, dogs, 1)
	for fd, target := range descriptors(t, dogs[0]) {
		require.NotEqual(t, leader[1], target, "descriptor %d", fd)
	}
}

func TestPipelineSeesTheEndOfTheCommandsOutput(t *testing.T) {
	t.Parallel()
	r, w := pipe(t)
	other, _ := startSh(t, "exec sleep 1000") // its watchdog is forked while w is open
	c, err := Start(Command{Args: []string{"echo", "text"}, Env: os.Environ(), Stdout: w})
	require.NoError(t, err)
	require.NoError(t, w.Close())
	out, err := io.ReadAll(r)
	require.NoError(t, err)
	require.Equal(t, "text\n", string(out))
	requireCode(t, c, 0)
	select {
	case <-other.Done():
		t.Fatal("the other command should be running still")
	default:
	}
}

func TestWatchdogIsGoneWhenTheCommandHasEnded(t *testing.T) { // not parallel: it counts our watchdogs
	c, out := startSh(t, "echo ready; read line; exit 0")
	out.await(t, "ready\n")
	<-c.Done()
	require.Empty(t, watchdogsOf(t, os.Getpid()))
}

func TestStoppedWatchdogCanBeDismissed(t *testing.T) { // not parallel: it looks for its watchdog
	c, out := startSh(t, "echo ready; exec sleep 1000")
	out.await(t, "ready\n")
	dogs := watchdogsOf(t, os.Getpid())
	require.Len(t, dogs, 1)
	require.NoError(t, syscall.Kill(dogs[0], syscall.SIGSTOP))
	requireState(t, dogs[0], "T")
	c.Signal(syscall.SIGKILL)
	requireCode(t, c, 137)
	require.True(t, isDead(dogs[0]))
}

func TestStartRefusesAnExecutableThatCannotBecomeAWatchdog(t *testing.T) {
	t.Parallel()
	out, err := helper(t, "forgetful", "echo", "ran").CombinedOutput()
	var exit *exec.ExitError
	require.ErrorAs(t, err, &exit)
	require.Contains(t, string(out), "RunWatchdogIfAsked")
	require.NotContains(t, string(out), "ran\n")
}

func TestArgumentsOrEnvironmentAloneMakeNoWatchdog(t *testing.T) {
	t.Parallel()
	cmd := helper(t, "supervisor", "echo", "ran")
	cmd.Args[0] = watchdogName
	cmd.Env = append(cmd.Env, watchdogEnv)
	out, err := cmd.Output()
	require.NoError(t, err)
	require.Equal(t, "ran\n", string(out))
}
