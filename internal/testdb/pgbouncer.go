package testdb

import (
	"bytes"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
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
	b := &pgBouncer{daemon{name: "PgBouncer", dir: dir}}
	tb.Cleanup(func() {
		if tb.Failed() {
			tb.Logf("the end of the log of PgBouncer on port %d:\n%s", b.port, tail(b.logFrom(0)))
		}
		if err := b.remove(); err != nil {
			tb.Error(err)
		}
	})
	if err := b.start(program, server, settings); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if !b.running() {
			tb.Errorf("PgBouncer on port %d has ended by itself", b.port)
		}
	})
	through := *server
	through.Host = net.JoinHostPort("127.0.0.1", strconv.Itoa(b.port))
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

type pgBouncer struct{ daemon }

func (b *pgBouncer) start(program string, server *url.URL, settings []string) error {
	return b.startOnFreePort(func() error {
		if err := b.configure(server, settings); err != nil {
			return err
		}
		return b.launch(program, []string{"pgbouncer.ini"}, b.ready)
	})
}

func (b *pgBouncer) ready() bool {
	return bytes.Contains(b.logFrom(b.logged), []byte("process up: PgBouncer"))
}

func (b *pgBouncer) configure(server *url.URL, settings []string) error {
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
`, server.Hostname(), upstream, b.port, strings.Join(settings, "\n")),
	}
	for name, content := range files {
		path := filepath.Join(b.dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			return fmt.Errorf("testdb: %w", err)
		}
		if err := handOver(path); err != nil {
			return err
		}
	}
	return nil
}
