//go:build linux

package testdb

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestNothingIsLeftAfterCtrlC(t *testing.T) {
	t.Parallel()
	v := startVictim(t, "hang")
	home := v.readHome()
	v.readDatabase()
	assertServerIn(t, home)

	v.interrupt()

	require.Error(t, v.wait())
	assertNothingLeft(t, home)
}

func TestNothingIsLeftAfterSIGKILL(t *testing.T) {
	t.Parallel()
	v := startVictim(t, "hang")
	home := v.readHome()
	v.readDatabase()
	assertServerIn(t, home)
	segment := sharedMemoryIn(t, home)
	require.True(t, sharedMemoryExists(t, segment))

	v.kill()

	require.Error(t, v.wait())
	assertNothingLeft(t, home)
	assert.False(t, sharedMemoryExists(t, segment), "the server's shared memory is gone")
}

func TestNothingIsLeftAfterSIGKILLWhileAServerIsPaused(t *testing.T) {
	t.Parallel()
	v := startVictim(t, "hang with a paused server")
	home := v.readHome()
	v.readDatabase()

	v.kill()

	require.Error(t, v.wait())
	assertNothingLeft(t, home)
}

func TestNothingIsLeftAfterSIGKILLWhileAServerIsBeingMade(t *testing.T) {
	t.Parallel()
	for _, do := range []string{"hang", "hang with MySQL"} {
		v := startVictim(t, do)
		home := v.readHome()
		require.Eventually(t, func() bool {
			pids, err := processesIn(home)
			return err == nil && len(pids) > 0
		}, startTimeout, poll, "initdb or the like of it runs")

		v.kill()

		require.Error(t, v.wait())
		assertNothingLeft(t, home)
	}
}

func TestNothingIsLeftOfMySQLAfterSIGKILL(t *testing.T) {
	t.Parallel()
	v := startVictim(t, "hang with MySQL")
	home := v.readHome()
	v.readDatabase()
	pids, err := processesIn(home)
	require.NoError(t, err)
	require.NotEmpty(t, pids)

	v.kill()

	require.Error(t, v.wait())
	assertNothingLeft(t, home)
}

func TestNothingIsLeftAfterPanic(t *testing.T) {
	t.Parallel()
	v := startVictim(t, "panic")
	home := v.readHome()

	require.Error(t, v.wait())
	assert.Contains(t, v.output.String(), "as asked for")
	assertNothingLeft(t, home)
}

func TestNothingIsLeftAfterTimeout(t *testing.T) {
	t.Parallel()
	v := startVictim(t, "hang", "-test.timeout=2s")
	home := v.readHome()

	require.Error(t, v.wait())
	assert.Contains(t, v.output.String(), "test timed out")
	assertNothingLeft(t, home)
}

func assertServerIn(t *testing.T, home string) {
	t.Helper()
	pids, err := processesIn(home)
	require.NoError(t, err)
	assert.Greater(t, len(pids), 1, "a postmaster and its children")
}

// sharedMemoryIn returns the id of the segment that the only server in home uses.
func sharedMemoryIn(t *testing.T, home string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(home, "*", "data", postmasterPID))
	require.NoError(t, err)
	require.Len(t, files, 1)
	content, err := os.ReadFile(files[0])
	require.NoError(t, err)
	fields := strings.Fields(strings.Split(string(content), "\n")[6])
	require.Len(t, fields, 2)
	return fields[1]
}

func sharedMemoryExists(t *testing.T, id string) bool {
	t.Helper()
	table, err := os.ReadFile("/proc/sysvipc/shm")
	require.NoError(t, err)
	for line := range strings.Lines(string(table)) {
		if fields := strings.Fields(line); len(fields) > 1 && fields[1] == id {
			return true
		}
	}
	return false
}
