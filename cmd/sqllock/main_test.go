//go:build unix

package main

import (
	"bufio"
	"bytes"
	"context"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/sqllock/toolkit/cmd/sqllock/internal/child"
	"github.com/sqllock/toolkit/internal/testdb"
	"github.com/sqllock/toolkit/mysql"
	"github.com/sqllock/toolkit/postgres"
	"github.com/sqllock/toolkit/sqlite"
	"github.com/sqllock/toolkit/sqllock"
)

// programVariable makes this test binary the program sqllock.
const programVariable = "TEST_BE_SQLLOCK"

func TestMain(m *testing.M) {
	child.RunWatchdogIfAsked()
	if os.Getenv(programVariable) != "" {
		_ = os.Unsetenv(programVariable)
		main()
	}
	heedSignals()
	testdb.Main(m)
}

// heedSignals is for who runs the tests in the background of a script, or with nohup: the shell has signals ignored there, and what a process
// ignores, the programs that it starts ignore too.
func heedSignals() {
	for _, sig := range []os.Signal{syscall.SIGINT, syscall.SIGQUIT, syscall.SIGHUP} {
		if signal.Ignored(sig) {
			signal.Notify(make(chan os.Signal, 1), sig)
		}
	}
}

// patience is for what takes milliseconds, on a machine that is busy with something else.
const patience = 30 * time.Second

// place is a database, and how locks are kept there.
type place struct {
	dsn   string
	flags []string
	locks *sqllock.Client // another process's, as it were
}

// inTable asks for leases where they are not the default.
var inTable = []string{"--backend", "table"}

func newPostgres(t *testing.T) place {
	t.Helper()
	return postgresPlace(t, testdb.Postgres(t))
}

func postgresPlace(t *testing.T, dsn string) place {
	t.Helper()
	migrateUp(t, dsn)
	return newPlace(t, dsn, postgres.Table(newPool(t, dsn)), inTable...)
}

func migrateUp(t *testing.T, dsn string) {
	t.Helper()
	up := program(t, "migrate", "up", "--dsn", dsn).run()
	require.Equal(t, 0, up.code, up.stderr)
}

func newPool(t *testing.T, dsn string) *pgxpool.Pool {
	t.Helper()
	pool, err := pgxpool.New(t.Context(), dsn)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	return pool
}

// newSessions is PostgreSQL as it comes: nothing is installed there, and no flag is needed.
func newSessions(t *testing.T) place {
	t.Helper()
	return sessionPlace(t, testdb.Postgres(t))
}

func sessionPlace(t *testing.T, dsn string) place {
	t.Helper()
	return newPlace(t, dsn, postgres.Advisory(newPool(t, dsn)))
}

func newSQLite(t *testing.T) place {
	t.Helper()
	file := filepath.Join(t.TempDir(), "locks.db")
	return newPlace(t, "sqlite:"+file, sqlite.Table(file))
}

// newNamed is MySQL as it comes.
func newNamed(t *testing.T) place {
	t.Helper()
	cfg := testdb.MySQL(t)
	b := mysql.Named(cfg)
	t.Cleanup(func() { _ = b.Close(context.Background()) })
	return newPlace(t, cfg.FormatDSN(), b)
}

func newMySQL(t *testing.T) place {
	t.Helper()
	cfg := testdb.MySQL(t)
	migrateUp(t, "mysql://"+cfg.User+"@"+cfg.Addr+"/"+cfg.DBName)
	b := mysql.Table(cfg)
	t.Cleanup(func() { _ = b.Close(context.Background()) })
	return newPlace(t, cfg.FormatDSN(), b, inTable...)
}

func newPlace(t *testing.T, dsn string, backend sqllock.Backend, flags ...string) place {
	t.Helper()
	p := place{dsn, flags, sqllock.New(backend, sqllock.Owner("the test"))}
	t.Cleanup(func() { _ = p.locks.Close(context.Background()) })
	return p
}

// everywhere runs the test with every backend.
func everywhere(t *testing.T, test func(t *testing.T, p place)) {
	t.Run("named", func(t *testing.T) {
		t.Parallel()
		test(t, newNamed(t))
	})
	withAllModes(t, test)
}

// withAllModes runs the test with those backends that know readers and permits.
func withAllModes(t *testing.T, test func(t *testing.T, p place)) {
	t.Run("advisory", func(t *testing.T) {
		t.Parallel()
		test(t, newSessions(t))
	})
	withLeases(t, test)
}

// withLeases runs the test with those backends that keep leases.
func withLeases(t *testing.T, test func(t *testing.T, p place)) {
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		test(t, newPostgres(t))
	})
	t.Run("mysql", func(t *testing.T) {
		t.Parallel()
		test(t, newMySQL(t))
	})
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		test(t, newSQLite(t))
	})
}

// exec prepares sqllock exec in this place.
func (p place) exec(t *testing.T, args ...string) *process {
	t.Helper()
	return program(t, slices.Concat([]string{"exec"}, p.flags, args)...).with(dsnVariable + "=" + p.dsn)
}

// acquire holds the lock in the test itself.
func (p place) acquire(t *testing.T, name string, opts ...sqllock.Option) *sqllock.Lock {
	t.Helper()
	lock, err := p.locks.Acquire(t.Context(), name, opts...)
	require.NoError(t, err)
	return lock
}

// waiters are those who wait for anything here.
func (p place) waiters(t *testing.T) (waiting []sqllock.LockInfo) {
	t.Helper()
	infos, err := p.locks.Locks(t.Context())
	require.NoError(t, err)
	return slices.DeleteFunc(infos, func(i sqllock.LockInfo) bool { return !i.Waiting })
}

func (p place) awaitWaiters(t *testing.T, n int) {
	t.Helper()
	require.Eventually(t, func() bool { return len(p.waiters(t)) == n }, patience, 5*time.Millisecond)
}

// requireNoWaiters is for when those who waited have ended. Rows they have deleted before; of a session that ends the server may show the last moments.
func (p place) requireNoWaiters(t *testing.T) {
	t.Helper()
	if p.locks.Capabilities().Leases {
		require.Empty(t, p.waiters(t))
		return
	}
	p.awaitWaiters(t, 0)
}

// process is sqllock as a process of its own.
type process struct {
	*exec.Cmd
	t      *testing.T
	out    *bufio.Reader
	stdout *os.File
	errors *os.File
}

// outcome is what a process has left behind.
type outcome struct {
	code           int
	stdout, stderr string
	took           time.Duration
}

// program prepares sqllock. Of our environment it gets nothing that could name a database.
func program(t *testing.T, args ...string) *process {
	t.Helper()
	executable, err := os.Executable()
	require.NoError(t, err)
	p := &process{Cmd: exec.Command(executable, args...), t: t}
	p.Env = slices.DeleteFunc(os.Environ(), func(v string) bool {
		return strings.HasPrefix(v, "SQLLOCK_") || strings.HasPrefix(v, "PG")
	})
	p.with(programVariable+"=1", "XDG_STATE_HOME="+t.TempDir())
	p.with("GORACE=atexit_sleep_ms=0") // the race detector makes every process a second longer otherwise
	return p
}

func (p *process) with(env ...string) *process {
	p.Env = append(p.Env, env...)
	return p
}

// start starts it. A file takes stderr, so that nobody who inherits it can keep us waiting.
func (p *process) start() *process {
	p.t.Helper()
	r, w, err := os.Pipe()
	require.NoError(p.t, err)
	defer w.Close()
	errors, err := os.Create(filepath.Join(p.t.TempDir(), "stderr"))
	require.NoError(p.t, err)
	p.stdout, p.errors, p.out = r, errors, bufio.NewReader(r)
	p.Stdout = w
	if p.Stderr == nil {
		p.Stderr = errors
	}
	p.t.Cleanup(func() {
		_, _ = r.Close(), errors.Close()
		if p.ProcessState == nil && p.Process != nil {
			_ = p.Process.Kill()
			_ = p.Wait()
		}
	})
	require.NoError(p.t, p.Start())
	return p
}

// await reads the command's output up to this line.
func (p *process) await(line string) {
	p.t.Helper()
	for p.line() != line {
	}
}

func (p *process) line() string {
	p.t.Helper()
	require.NoError(p.t, p.stdout.SetReadDeadline(time.Now().Add(patience)))
	line, err := p.out.ReadString('\n')
	if err != nil {
		errors, _ := os.ReadFile(p.errors.Name())
		require.NoError(p.t, err, "stdout ended with %q, stderr is %s", line, errors)
	}
	return strings.TrimSuffix(line, "\n")
}

func (p *process) signal(sig syscall.Signal) {
	p.t.Helper()
	require.NoError(p.t, p.Process.Signal(sig))
}

// end waits for the end of the process and of everybody who has its stdout.
func (p *process) end() outcome {
	p.t.Helper()
	began := time.Now()
	require.NoError(p.t, p.stdout.SetReadDeadline(began.Add(patience)))
	var stdout bytes.Buffer
	_, err := stdout.ReadFrom(p.out)
	require.NoError(p.t, err)
	_ = p.Wait()
	stderr, err := os.ReadFile(p.errors.Name())
	require.NoError(p.t, err)
	code := p.ProcessState.ExitCode()
	if status, ok := p.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		code = -int(status.Signal())
	}
	return outcome{code, stdout.String(), string(stderr), time.Since(began)}
}

func (p *process) run() outcome {
	p.t.Helper()
	began := time.Now()
	o := p.start().end()
	o.took = time.Since(began)
	return o
}

// requireError checks the exit code, and that there is one line on stderr, with these words in it.
func (o outcome) requireError(t *testing.T, code int, words ...string) {
	t.Helper()
	require.Equal(t, code, o.code, "stderr: %s", o.stderr)
	require.Equal(t, 1, strings.Count(o.stderr, "\n"), "stderr: %s", o.stderr)
	require.True(t, strings.HasPrefix(o.stderr, "sqllock: "), "stderr: %s", o.stderr)
	for _, word := range words {
		require.Contains(t, o.stderr, word)
	}
}

// requireSilent checks the exit code, and that there is nothing on stderr.
func (o outcome) requireSilent(t *testing.T, code int) {
	t.Helper()
	require.Equal(t, code, o.code, "stderr: %s", o.stderr)
	require.Empty(t, o.stderr)
}
