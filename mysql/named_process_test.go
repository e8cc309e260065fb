package mysql_test

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	driver "github.com/go-sql-driver/mysql"
	"github.com/stretchr/testify/require"
)

// namedHelperDSN makes a test that calls inNamedHelper serve another test process.
const namedHelperDSN = "SQLLOCK_NAMED_HELPER_DSN"

// inNamedHelper runs serve, and ends the process, if this process was started by startNamedHelper. A test calls it before it does anything else.
func inNamedHelper(serve func(cfg *driver.Config, ask *bufio.Scanner, tell io.Writer) error) {
	dsn := os.Getenv(namedHelperDSN)
	if dsn == "" {
		return
	}
	cfg, err := driver.ParseDSN(dsn)
	if err == nil {
		// The end of the input is the end of the test, or of its whole process: nobody may outlive that.
		err = serve(cfg, bufio.NewScanner(os.Stdin), os.Stdout)
	}
	if err != nil {
		fmt.Println("failed:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// namedHelper is a process that runs the same test, up to its inNamedHelper.
type namedHelper struct {
	t     *testing.T
	cmd   *exec.Cmd
	ask   io.WriteCloser
	lines *bufio.Scanner
}

func startNamedHelper(t *testing.T, cfg *driver.Config) *namedHelper {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+regexp.QuoteMeta(t.Name())+"$", "-test.count=1")
	cmd.Env = append(os.Environ(), namedHelperDSN+"="+cfg.FormatDSN())
	cmd.Stderr = os.Stderr
	ask, err := cmd.StdinPipe()
	require.NoError(t, err)
	answers, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	h := &namedHelper{t: t, cmd: cmd, ask: ask, lines: bufio.NewScanner(answers)}
	t.Cleanup(func() {
		_ = ask.Close()
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return h
}

// line is the next thing that the helper tells.
func (h *namedHelper) line() string {
	h.t.Helper()
	require.True(h.t, h.lines.Scan(), "the helper has ended: %v", h.lines.Err())
	line := h.lines.Text()
	require.False(h.t, strings.HasPrefix(line, "failed:"), line)
	return line
}

// tell gives the helper a line.
func (h *namedHelper) tell(line string) {
	h.t.Helper()
	_, err := io.WriteString(h.ask, line+"\n")
	require.NoError(h.t, err)
}

// next lets the helper do its next step.
func (h *namedHelper) next() string {
	h.t.Helper()
	h.tell("next")
	return h.line()
}

// kill ends the helper as a crash does.
func (h *namedHelper) kill() {
	h.t.Helper()
	require.NoError(h.t, h.cmd.Process.Kill())
}
