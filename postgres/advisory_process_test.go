package postgres_test

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// helperDSN makes a test that calls helperProcess serve another test process.
const helperDSN = "SQLLOCK_ADVISORY_HELPER_DSN"

// inHelper runs serve, and ends the process, if this process was started by helper. A test calls it before it does anything else.
func inHelper(serve func(dsn string, ask *bufio.Scanner, tell io.Writer) error) {
	dsn := os.Getenv(helperDSN)
	if dsn == "" {
		return
	}
	// The end of the input is the end of the test, or of its whole process: nobody may outlive that.
	ask := bufio.NewScanner(os.Stdin)
	if err := serve(dsn, ask, os.Stdout); err != nil {
		fmt.Println("failed:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// helper is a process that runs the same test, up to its inHelper.
type helper struct {
	t     *testing.T
	cmd   *exec.Cmd
	ask   io.WriteCloser
	lines *bufio.Scanner
}

func startHelper(t *testing.T, dsn string) *helper {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+regexp.QuoteMeta(t.Name())+"$", "-test.count=1")
	cmd.Env = append(os.Environ(), helperDSN+"="+dsn)
	cmd.Stderr = os.Stderr
	ask, err := cmd.StdinPipe()
	require.NoError(t, err)
	answers, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	h := &helper{t: t, cmd: cmd, ask: ask, lines: bufio.NewScanner(answers)}
	t.Cleanup(func() {
		_ = ask.Close()
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return h
}

// line is the next thing that the helper tells.
func (h *helper) line() string {
	h.t.Helper()
	require.True(h.t, h.lines.Scan(), "the helper has ended: %v", h.lines.Err())
	line := h.lines.Text()
	require.False(h.t, strings.HasPrefix(line, "failed:"), line)
	return line
}

// next lets the helper do its next step.
func (h *helper) next() string {
	h.t.Helper()
	_, err := io.WriteString(h.ask, "next\n")
	require.NoError(h.t, err)
	return h.line()
}

// kill ends the helper as a crash does.
func (h *helper) kill() {
	h.t.Helper()
	require.NoError(h.t, h.cmd.Process.Kill())
}
