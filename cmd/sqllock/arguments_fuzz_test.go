//go:build unix

package main

import (
	"io"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// FuzzArguments: whatever is on the command line, it is understood, or refused in one line with the code for wrong usage, and that shows no
// password that has ended up there. Nothing is locked and nothing run, because there is no database.
func FuzzArguments(f *testing.F) {
	for _, line := range []string{
		"", "exec", "exec name", "exec name -- true", "exec -- name -- true", "exec -n -w 3s name true", "exec -sn name true", "exec --ttl DSN name true",
		"exec -w=DSN name true", "exec -wDSN name true", "exec DSN", "exec DSN -- true", "exec DSNDSNDSNDSN -- true", "exec --owner DSNDSNDSNDSN name true", "DSN", "-DSN", "-dDSN", "--DSN", "--dsm=DSN",
		"exec --slots DSN name true", "exec -E 256 name true", "exec --kill-after=DSN name true", "elect --observe DSN", "elect --observe --json", "elect --value DSN name true",
		"elect --interval DSN name", "elect --restart --stand-back 0 name true", "migrate", "migrate DSN", "migrate up DSN", "migrate down", "migrate down --yes",
		"migrate status -v", "migrate print --dialect DSN", "migrate print --dialect mysql", "--help", "help DSN", "exec --help", "completion bash", "completion DSN", "__complete DSN",
		"__complete exec ''", "--namespace DSN exec name true", "--schema DSN migrate up", "exec \x01 true", "exec \xff -- true", "-v", "-vvv", "--verbose=DSN", "--", "-- DSN", "-",
	} {
		f.Add(line, "")
		f.Add(line, "p@ss:w/ord?#'\"")
		f.Add(strings.ReplaceAll(line, " ", "\x00"), "new\nline and space")
	}
	f.Setenv(dsnVariable, "nonsense")
	stderr, err := os.Create(f.TempDir() + "/stderr")
	require.NoError(f, err)
	nowhere, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	require.NoError(f, err)
	f.Cleanup(func() { _, _ = stderr.Close(), nowhere.Close() })
	f.Fuzz(func(t *testing.T, line, password string) {
		if strings.Contains(line, secret) || strings.Contains(line, "--dsn") {
			t.Skip()
		}
		separator := " "
		if strings.Contains(line, "\x00") { // as in /proc
			separator = "\x00"
		}
		args := strings.Split(line, separator)
		for i := range args {
			args[i] = strings.ReplaceAll(args[i], "DSN", "postgres://me:"+password+secret+password+"@host/db")
		}
		_, err := stderr.Seek(0, io.SeekStart)
		require.NoError(t, err)
		require.NoError(t, stderr.Truncate(0))

		code := run(args, nowhere, nowhere, stderr)

		_, err = stderr.Seek(0, io.SeekStart)
		require.NoError(t, err)
		said, err := io.ReadAll(stderr)
		require.NoError(t, err)
		require.NotContains(t, string(said), secret, "%q", args)
		if strings.HasPrefix(args[0], "__complete") {
			return // is for shells
		}
		require.Contains(t, []int{0, exitUsage}, code, "%q: %s", args, said)
		if code != 0 {
			require.True(t, strings.HasPrefix(string(said), "sqllock: "), "%q: %q", args, said)
			require.Equal(t, 1, strings.Count(string(said), "\n"), "%q: %q", args, said)
		}
	})
}
