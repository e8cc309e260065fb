//go:build unix

package main

import (
	"bufio"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// unread is a pipe that is full, and from which nobody reads.
func unread(t *testing.T) *os.File {
	t.Helper()
	r, w, err := os.Pipe()
	require.NoError(t, err)
	t.Cleanup(func() { _, _ = r.Close(), w.Close() })
	raw, err := w.SyscallConn()
	require.NoError(t, err)
	var full error
	require.NoError(t, raw.Write(func(fd uintptr) bool {
		for full == nil {
			_, full = syscall.Write(int(fd), []byte{'x'})
		}
		return true
	}))
	require.ErrorIs(t, full, syscall.EAGAIN)
	return w
}

func TestCommandIsEndedAfterALossAlthoughNobodyReadsStderr(t *testing.T) {
	t.Parallel()
	for name, flags := range map[string][]string{"quiet": nil, "verbose": {"-v"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newSQLite(t)
			job := p.exec(t, append(flags, "--kill-after", "100ms", "name", "--", "sh", "-c", stubborn)...)
			job.Stderr = unread(t)
			job.start().line()
			require.NoError(t, p.locks.ForceRelease(t.Context(), "name"))
			job.await("TERM")
			require.Equal(t, exitLost, job.end().code)
		})
	}
}

func TestCampaignGoesOnAfterALossAlthoughNobodyReadsStderr(t *testing.T) {
	t.Parallel()
	p := newSQLite(t)
	job := p.elect(t, "-v", "--owner", "me", "name", "--", "sh", "-c", leading)
	job.Stderr = unread(t)
	job.start().await("name me")
	require.NoError(t, p.locks.ForceRelease(t.Context(), "name"))
	job.await("TERM")
	job.await("name me")
	job.signal(syscall.SIGTERM)
	job.await("TERM")
	require.Equal(t, 5, job.end().code)
}

func TestMessagesAreWrittenInOrderAndSayHowManyAreMissing(t *testing.T) {
	t.Parallel()
	r, w, err := os.Pipe()
	require.NoError(t, err)
	defer r.Close()
	defer w.Close()
	m := &messages{file: w}
	const all = 1000
	for i := range all { // far more than the pipe and we have room for
		_, err := fmt.Fprintf(m, "%d %s\n", i, strings.Repeat("x", 1<<10))
		require.NoError(t, err)
	}
	lines, read, missing := bufio.NewScanner(r), 0, 0
	for read+missing < all && lines.Scan() {
		var n int
		if _, err := fmt.Sscanf(lines.Text(), "sqllock: %d messages are missing here", &n); err == nil {
			missing += n
			continue
		}
		_, err := fmt.Sscanf(lines.Text(), "%d x", &n)
		require.NoError(t, err, lines.Text())
		require.Equal(t, read+missing, n)
		read++
	}
	require.Equal(t, all, read+missing)
	require.Positive(t, missing)
	require.Greater(t, read<<10, maxPending-2<<10)

	_, _ = fmt.Fprintln(m, "and now there is room")
	require.True(t, lines.Scan())
	require.Equal(t, "and now there is room", lines.Text())
}
