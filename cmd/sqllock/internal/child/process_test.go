//go:build linux

package child

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// patience is for things that take milliseconds, on a machine that is busy with something else.
const (
	patience = 30 * time.Second
	tick     = 5 * time.Millisecond
)

// transcript collects what somebody writes.
type transcript struct {
	mu   sync.Mutex
	text bytes.Buffer
	eof  chan struct{}
}

// listen reads from the file until its end, or its Close at the end of the test.
func listen(t *testing.T, file *os.File) *transcript {
	heard := &transcript{eof: make(chan struct{})}
	go func() {
		defer close(heard.eof)
		_, _ = io.Copy(heard, file)
	}()
	t.Cleanup(func() {
		_ = file.Close()
		<-heard.eof
	})
	return heard
}

func (h *transcript) Write(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.text.Write(p)
}

func (h *transcript) String() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.text.String()
}

// await returns the first group of the pattern, or the match if it has none.
func (h *transcript) await(t *testing.T, pattern string) string {
	t.Helper()
	var match []string
	compiled := regexp.MustCompile(pattern)
	require.Eventually(t, func() bool {
		match = compiled.FindStringSubmatch(h.String())
		return match != nil
	}, patience, tick, "waiting for %q", pattern)
	return match[len(match)-1]
}

func (h *transcript) awaitPid(t *testing.T, name string) int {
	t.Helper()
	pid, err := strconv.Atoi(h.await(t, name+`=(\d+)\r?\n`))
	require.NoError(t, err)
	return pid
}

func pipe(t *testing.T) (r, w *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	require.NoError(t, err)
	t.Cleanup(func() { _, _ = r.Close(), w.Close() })
	return r, w
}

// startSh starts a shell script under supervision and returns it with its output.
func startSh(t *testing.T, script string) (*Child, *transcript) {
	t.Helper()
	r, w := pipe(t)
	c, err := Start(Command{Args: []string{"sh", "-c", script}, Env: os.Environ(), Stdout: w, Stderr: w})
	require.NoError(t, err)
	require.NoError(t, w.Close())
	t.Cleanup(func() {
		c.Terminate(0)
		<-c.Done()
	})
	return c, listen(t, r)
}

// helper prepares this test binary in a role.
func helper(t *testing.T, role string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.Env = append(os.Environ(), roleEnv+"="+role)
	return cmd
}

// startSupervisor starts a process that supervises the script, and returns it with the script's output.
func startSupervisor(t *testing.T, script string) (*exec.Cmd, *transcript) {
	t.Helper()
	r, w := pipe(t)
	cmd := helper(t, "supervisor", "sh", "-c", script)
	cmd.Stdout, cmd.Stderr = w, w
	startAndClean(t, cmd)
	require.NoError(t, w.Close())
	return cmd, listen(t, r)
}

func startAndClean(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
}

// state is the process's state letter, 'X' when it does not exist.
func state(pid int) byte {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 'X'
	}
	return stat[bytes.LastIndexByte(stat, ')')+2] // the name before it may contain anything
}

func parent(pid int) int {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	ppid, _ := strconv.Atoi(strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))[1])
	return ppid
}

// isDead counts a zombie as dead: an orphan's new parent may take its time.
func isDead(pid int) bool { return strings.IndexByte("XZ", state(pid)) >= 0 }

func requireDies(t *testing.T, pid int) {
	t.Helper()
	require.Eventually(t, func() bool { return isDead(pid) }, patience, tick, "process %d lives", pid)
}

func requireState(t *testing.T, pid int, letters string) {
	t.Helper()
	require.Eventually(t, func() bool { return strings.IndexByte(letters, state(pid)) >= 0 }, patience, tick,
		"process %d should be in one of %q", pid, letters)
}

// watchdogsOf lists the watchdogs of a supervisor.
func watchdogsOf(t *testing.T, supervisor int) (pids []int) {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	require.NoError(t, err)
	for _, file := range files {
		cmdline, err := os.ReadFile(file)
		if err != nil || string(cmdline) != watchdogName+"\x00" {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		require.NoError(t, err)
		if parent(pid) == supervisor {
			pids = append(pids, pid)
		}
	}
	return pids
}

// descriptors maps a process's descriptors to what they are open on.
func descriptors(t *testing.T, pid int) map[int]string {
	t.Helper()
	dir := fmt.Sprintf("/proc/%d/fd", pid)
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	open := map[int]string{}
	for _, entry := range entries {
		fd, err := strconv.Atoi(entry.Name())
		require.NoError(t, err)
		if target, err := os.Readlink(filepath.Join(dir, entry.Name())); err == nil {
			open[fd] = target
		}
	}
	return open
}

// inherited are the descriptors above stderr that whoever runs the tests has left open for every program below.
var inherited = func() (fds []int) {
	for fd := 3; fd < 1024; fd++ {
		if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err == nil && flags&unix.FD_CLOEXEC == 0 {
			fds = append(fds, fd)
		}
	}
	return fds
}()
