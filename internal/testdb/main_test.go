//go:build linux

package testdb

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestMain(m *testing.M) { Main(m) }

func TestPassingRunLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	run := startVictim(t, "serve")
	home := run.readHome()

	require.NoError(t, run.wait(), run.output)
	assert.NoDirExists(t, home, "Main waits until it is gone")
	assertNothingLeft(t, home)
}

func TestFailingRunLeavesNothingBehindAndStillFails(t *testing.T) {
	t.Parallel()
	run := startVictim(t, "fail")
	home := run.readHome()

	require.Error(t, run.wait())
	assertNothingLeft(t, home)
}

func TestGoroutineLeakFailsAPassingRun(t *testing.T) {
	t.Parallel()
	run := startVictim(t, "leak")

	require.Error(t, run.wait())
	assert.Contains(t, run.output.String(), "PASS")
	assert.Contains(t, run.output.String(), "left goroutines behind")
}

func TestShortSkipsWhatNeedsAServer(t *testing.T) {
	t.Parallel()
	for _, do := range []string{"serve", "own", "serve MySQL", "own MySQL", "own Galera"} {
		// Even where none could be had.
		run := startVictim(t, do, "-test.short", "-test.v", envPostgresBin+"=/nonexistent", envMySQLBin+"=/nonexistent")

		require.NoError(t, run.wait(), run.output)
		assert.Contains(t, run.output.String(), "--- SKIP: TestVictim")
	}
}

func TestRunWithoutServersStartsNothing(t *testing.T) {
	t.Parallel()
	tmp := t.TempDir()
	run := startVictim(t, "nothing", "TMPDIR="+tmp)

	require.NoError(t, run.wait(), run.output)
	left, err := filepath.Glob(filepath.Join(tmp, "*"))
	require.NoError(t, err)
	assert.Empty(t, left)
}
