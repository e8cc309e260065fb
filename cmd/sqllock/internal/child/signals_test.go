//go:build linux

package child

import (
	"os"
	"os/exec"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSignalThatWasIgnoredFromTheStartStaysIgnored(t *testing.T) {
	t.Parallel()
	self, err := os.Executable()
	require.NoError(t, err)
	r, w := pipe(t)
	nohup := helper(t, "supervisor")
	nohup.Path, err = exec.LookPath("sh")
	require.NoError(t, err)
	nohup.Args = []string{"sh", "-c", `trap "" HUP; exec "$@"`, "sh", self, "sh", "-c", "echo leader=$$; exec sleep 1000"}
	nohup.Stdout = w
	startAndClean(t, nohup)
	out := listen(t, r)
	leader := out.awaitPid(t, "leader")
	require.NoError(t, nohup.Process.Signal(syscall.SIGHUP))
	require.NoError(t, syscall.Kill(leader, syscall.SIGHUP))
	require.NoError(t, nohup.Process.Signal(syscall.SIGTERM))
	_ = nohup.Wait()
	require.Equal(t, 143, nohup.ProcessState.ExitCode())
}
