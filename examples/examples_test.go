//go:build unix

package examples

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sqllock/toolkit/internal/testdb"
)

func TestMain(m *testing.M) { testdb.Main(m) }

// patience is for what takes seconds at most, on a machine that is busy with something else.
const patience = 30 * time.Second

func TestExamplesOnSQLite(t *testing.T) {
	dir := build(t)
	t.Parallel()
	runAll(t, func(t *testing.T) place {
		return place{dir: dir, flags: []string{"-dsn", "sqlite:" + filepath.Join(t.TempDir(), "locks.db")}, leases: true, permits: true}
	})
}

func TestExamplesOnPostgreSQL(t *testing.T) {
	dir := build(t)
	t.Parallel()
	for _, table := range []bool{false, true} {
		t.Run(kind(table), func(t *testing.T) {
			t.Parallel()
			runAll(t, func(t *testing.T) place {
				dsn := testdb.Postgres(t)
				return place{dir: dir, flags: flags(dsn, table), leases: table, permits: true, keepsStopped: !table && version(t, dsn) < 140000}
			})
		})
	}
}

func TestExamplesOnMySQL(t *testing.T) {
	dir := build(t)
	t.Parallel()
	for _, table := range []bool{false, true} {
		t.Run(kind(table), func(t *testing.T) {
			t.Parallel()
			runAll(t, func(t *testing.T) place {
				cfg := testdb.MySQL(t)
				dsn := "mysql://" + cfg.User + "@" + cfg.Addr + "/" + cfg.DBName
				return place{dir: dir, flags: flags(dsn, table), leases: table, permits: table}
			})
		})
	}
}

// runAll runs each example in a place of its own.
func runAll(t *testing.T, fresh func(t *testing.T) place) {
	for name, test := range map[string]func(*testing.T, place){
		"cron": testCron, "fencedwrites": testFencedWrites, "leaderelection": testLeaderElection,
		"migrationguard": testMigrationGuard, "semaphore": testSemaphore, "singletonworker": testSingletonWorker,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, fresh(t))
		})
	}
}

func kind(table bool) string {
	if table {
		return "leases"
	}
	return "session locks"
}

func flags(dsn string, table bool) []string {
	if table {
		return []string{"-dsn", dsn, "-backend", "table"}
	}
	return []string{"-dsn", dsn}
}

func version(t *testing.T, dsn string) (number int) {
	conn, err := pgx.Connect(t.Context(), dsn)
	require.NoError(t, err)
	defer func() { _ = conn.Close(context.Background()) }()
	require.NoError(t, conn.QueryRow(t.Context(), "SELECT current_setting('server_version_num')::int").Scan(&number))
	return number
}

func testMigrationGuard(t *testing.T, p place) {
	first := p.start(t, "migrationguard").end(0)
	require.Len(t, first, 3)
	require.Regexp(t, `^replica \d migrates from version 0 to 2$`, first[0])
	for _, line := range append(first[1:], p.start(t, "migrationguard").end(0)...) {
		require.Regexp(t, `^replica \d finds version 2$`, line)
	}
}

func testSingletonWorker(t *testing.T, p place) {
	worker := func(name string) *process {
		w := p.start(t, "singletonworker", "-name", name, "-every", "10ms")
		w.await("^" + name + " waits$")
		return w
	}
	one := worker("one")
	one.await("^one works$")
	one.await("^one has done job 2$")
	two := worker("two")
	one.signal(syscall.SIGTERM)
	rest := one.end(0)
	require.Equal(t, "one ends", rest[len(rest)-1])
	last := 2 // of the jobs of one
	for _, line := range rest[:len(rest)-1] {
		_, err := fmt.Sscanf(line, "one has done job %d", &last)
		require.NoError(t, err, line)
	}
	two.await("^two works$")
	// A job that was under way when the signal came may have been done without a word.
	require.Regexp(t, fmt.Sprintf("^two has done job (%d|%d)$", last+1, last+2), two.line())

	three := p.start(t, "singletonworker", "-name", "three", "-every", "10ms", "-fail", "1")
	three.await("^three waits$")
	two.signal(syscall.SIGTERM)
	for range 2 {
		three.await("^three works$")
		three.await("^three fails$")
	}
}

func testLeaderElection(t *testing.T, p place) {
	candidate := func(name string) (c *process, address string) {
		c = p.start(t, "leaderelection", "-name", name)
		return c, c.await("^" + name + " serves (http://.*)$")[1]
	}
	one, addressOfOne := candidate("one")
	one.await("^one leads$")
	two, address := candidate("two")
	two.await("^two follows one$")

	ask := func(client *http.Client) *http.Response {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address+"/question", nil)
		require.NoError(t, err)
		request.Close = true
		response, err := client.Do(request)
		require.NoError(t, err)
		return response
	}
	answer := func() string {
		response := ask(http.DefaultClient)
		defer response.Body.Close()
		text, err := io.ReadAll(response.Body)
		require.NoError(t, err)
		return string(text)
	}
	redirect := ask(&http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }})
	require.NoError(t, redirect.Body.Close())
	require.Equal(t, http.StatusTemporaryRedirect, redirect.StatusCode)
	require.Equal(t, addressOfOne+"/question", redirect.Header.Get("Location"))
	require.Equal(t, "one leads, and answers\n", answer())

	one.signal(syscall.SIGTERM)
	require.Empty(t, one.end(0))
	two.await("^two leads$")
	require.Equal(t, "two leads, and answers\n", answer())
}

func testFencedWrites(t *testing.T, p place) {
	if p.keepsStopped {
		t.Skip("this server never lets go of the session locks of a process that is stopped")
	}
	begin := func() (run *process, a string) {
		run = p.start(t, "fencedwrites")
		a = run.await(`^A has the lock, token (\d+), and writes$`)[1]
		run.await("^A is stopped$")
		return run, a
	}
	run, a := begin()
	// On SQLite whoever is stopped while it renews keeps the file locked, and nothing that others do can undo that.
	for tries := 1; tries < 5 && run.failsWith("SQLITE_BUSY"); tries++ {
		run, a = begin()
	}
	b := run.await(`^B has the lock, token (\d+), and writes$`)[1]
	run.await(`^A goes on, and is rejected: .*lock "example-ledger" lost: `)
	require.Equal(t, []string{"the ledger has: A " + a + ", B " + b}, run.end(0))
}

func testCron(t *testing.T, p place) {
	if !p.leases {
		require.Empty(t, p.start(t, "cron").end(1))
		return
	}
	var machines []*process
	for range 3 {
		machines = append(machines, p.start(t, "cron", "-period", "1h"))
	}
	var told []string
	for _, m := range machines {
		told = append(told, m.end(0)...)
	}
	told = append(told, p.start(t, "cron").end(0)...)
	slices.Sort(told)
	others := "leaves the report to somebody else"
	require.Equal(t, []string{others, others, others, "writes the report"}, told)
}

func testSemaphore(t *testing.T, p place) {
	if !p.permits {
		require.Empty(t, p.start(t, "semaphore").end(1))
		return
	}
	lines := p.start(t, "semaphore").end(0)
	require.Len(t, lines, 7)
	for _, line := range lines[:6] {
		assert.Regexp(t, `^worker \d has called, beside [01] others$`, line)
	}
	require.Regexp(t, `^6 calls, at most [12] at a time$`, lines[6])
}

// programs are the examples, built once for all tests.
var programs struct {
	sync.Mutex
	dir   string
	users int
}

// build builds the examples. Each test asks before it is run in parallel to the others, so that they are built once, and the last one to end removes them.
func build(t *testing.T) (dir string) {
	t.Helper()
	programs.Lock()
	defer programs.Unlock()
	if programs.users == 0 {
		dir, err := os.MkdirTemp("", "sqllock-examples")
		require.NoError(t, err)
		programs.dir = dir
		out, err := exec.CommandContext(t.Context(), "go", "build", "-ldflags=-s -w", "-o", dir, "./...").CombinedOutput()
		if err != nil {
			_ = os.RemoveAll(dir)
		}
		require.NoError(t, err, "%s", out)
	}
	programs.users++
	t.Cleanup(func() {
		programs.Lock()
		defer programs.Unlock()
		if programs.users--; programs.users == 0 {
			_ = os.RemoveAll(programs.dir)
		}
	})
	return programs.dir
}

// place is where the examples are, and a database of one test.
type place struct {
	dir             string
	flags           []string
	leases, permits bool
	keepsStopped    bool // what a stopped process has locked stays locked
}

// process is an example that runs.
type process struct {
	t      *testing.T
	cmd    *exec.Cmd
	stdout *os.File
	out    *bufio.Reader
	stderr strings.Builder
}

func (p place) start(t *testing.T, name string, args ...string) *process {
	t.Helper()
	r, w, err := os.Pipe()
	require.NoError(t, err)
	defer w.Close()
	job := &process{t: t, stdout: r, out: bufio.NewReader(r)}
	job.cmd = exec.Command(filepath.Join(p.dir, name), slices.Concat(p.flags, args)...)
	job.cmd.Stdout, job.cmd.Stderr = w, &job.stderr
	job.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // what it starts itself belongs to it
	require.NoError(t, job.cmd.Start())
	t.Cleanup(func() {
		_ = syscall.Kill(-job.cmd.Process.Pid, syscall.SIGKILL)
		_ = job.cmd.Wait()
		r.Close()
	})
	return job
}

func (j *process) signal(s syscall.Signal) {
	j.t.Helper()
	require.NoError(j.t, j.cmd.Process.Signal(s))
}

func (j *process) line() string {
	j.t.Helper()
	require.NoError(j.t, j.stdout.SetReadDeadline(time.Now().Add(patience)))
	line, err := j.out.ReadString('\n')
	require.NoError(j.t, err, "%s prints no more than %q", j.cmd.Path, line)
	return strings.TrimSuffix(line, "\n")
}

// await reads up to a line that matches, and returns what its parentheses match.
func (j *process) await(pattern string) []string {
	j.t.Helper()
	for {
		if match := regexp.MustCompile(pattern).FindStringSubmatch(j.line()); match != nil {
			return match
		}
	}
}

// failsWith tells whether the process prints nothing more and ends with that error.
func (j *process) failsWith(complaint string) bool {
	j.t.Helper()
	require.NoError(j.t, j.stdout.SetReadDeadline(time.Now().Add(patience)))
	if _, err := j.out.Peek(1); err == nil {
		return false
	}
	_ = j.cmd.Wait()
	require.Contains(j.t, j.stderr.String(), complaint)
	return true
}

// end waits for the end, and returns what was printed until then.
func (j *process) end(code int) []string {
	j.t.Helper()
	require.NoError(j.t, j.stdout.SetReadDeadline(time.Now().Add(patience)))
	rest, err := io.ReadAll(j.out)
	require.NoError(j.t, err)
	_ = j.cmd.Wait()
	require.Equal(j.t, code, j.cmd.ProcessState.ExitCode(), "%s: %s", j.cmd.Path, &j.stderr)
	if code != 0 {
		require.Contains(j.t, j.stderr.String(), "use a Table")
	} else {
		require.Empty(j.t, j.stderr.String())
	}
	return strings.Split(strings.TrimSuffix(string(rest), "\n"), "\n")[:strings.Count(string(rest), "\n")]
}
