package testdb

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// PgBouncer starts a PgBouncer in front of the server of dsn, a postgres:// URL, and returns the URL of the same database through
// it. It ends with tb.
//
// It is in transaction mode, and transactions go round its connections in turn, so that nothing that needs a session works by
// accident. Settings such as "pool_mode=session" or "default_pool_size=1", which has all clients share one connection, come on top
// of that; of several for the same thing the last counts.
//
// It needs the program pgbouncer: without it the test fails, and says how to get it; with -short it is skipped.
func PgBouncer(tb testing.TB, dsn string, settings ...string) string {
	tb.Helper()
	skipIfShort(tb)
	program, err := pgBouncerProgram()
	if err != nil {
		tb.Fatalf("testdb: this test needs PgBouncer: %v\n"+
			"scripts/install-servers.sh installs it on Debian; elsewhere put pgbouncer on PATH", err)
	}
	server, err := url.Parse(dsn)
	if err != nil {
		tb.Fatalf("testdb: %v", err)
	}
	dir, err := newServerDir("pgbouncer")
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := errors.Join(killServer(dir), removeServerDir(dir)); err != nil {
			tb.Error(err)
		}
	})
	port, err := startPgBouncer(program, dir, server, settings)
	if err != nil {
		tb.Fatal(err)
	}
	through := *server
	through.Host = net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	through.RawQuery = "sslmode=disable"
	return through.String()
}

func pgBouncerProgram() (string, error) {
	program, err := exec.LookPath("pgbouncer")
	if err != nil {
		program, err = exec.LookPath("/usr/sbin/pgbouncer") // not on everybody's PATH
	}
	return program, err
}

func startPgBouncer(program, dir string, server *url.URL, settings []string) (port int, err error) {
	const tries = 10
	for range tries {
		if port, err = freePort(); err != nil {
			return 0, err
		}
		if err = configurePgBouncer(dir, port, server, settings); err != nil {
			return 0, err
		}
		if err = runPgBouncer(program, dir, port); err == nil {
			return port, nil
		}
	}
	return 0, err
}

func configurePgBouncer(dir string, port int, server *url.URL, settings []string) error {
	upstream := server.Port()
	if upstream == "" {
		upstream = "5432"
	}
	password, _ := server.User.Password()
	files := map[string]string{
		"users": fmt.Sprintf("%q %q\n", server.User.Username(), password),
		"pgbouncer.ini": fmt.Sprintf(`[databases]
* = host=%s port=%s
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %d
unix_socket_dir =
auth_type = trust
auth_file = users
pool_mode = transaction
default_pool_size = 20
max_client_conn = 500
server_round_robin = 1
%s
`, server.Hostname(), upstream, port, strings.Join(settings, "\n")),
	}
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			return fmt.Errorf("testdb: %w", err)
		}
		if err := handOver(path); err != nil {
			return err
		}
	}
	return nil
}

// runPgBouncer returns when it accepts connections.
func runPgBouncer(program, dir string, port int) error {
	cmd := exec.Command(program, "pgbouncer.ini")
	if err := asServer(cmd, dir); err != nil {
		return err
	}
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("testdb: start PgBouncer: %w", err)
	}
	exited := make(chan struct{})
	go func() {
		_ = cmd.Wait()
		close(exited)
	}()
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	timeout := time.After(startTimeout)
	for {
		if c, err := net.DialTimeout("tcp", address, time.Second); err == nil {
			return c.Close()
		}
		select {
		case <-exited:
			return fmt.Errorf("testdb: PgBouncer has ended instead of starting; its log:\n%s", log.Bytes())
		case <-timeout:
			return fmt.Errorf("testdb: PgBouncer is not ready after %v", startTimeout)
		case <-time.After(5 * time.Millisecond):
		}
	}
}
