package testdb

import (
	"testing"

	"github.com/go-sql-driver/mysql"
)

// A MySQLServer is a MySQL or MariaDB server that one test has to itself, to do
// to it what happens to servers. Its methods fail the test if they cannot do what
// they say; call them from the test's own goroutine, one at a time.
type MySQLServer struct {
	tb     testing.TB
	mysqld *mysqld
}

// StartMySQL starts a server for this test alone, with settings such as
// "max-connections=20" on top of the server's defaults. It does not wait for the
// disk when it commits, and has no binary log, unless they say so. The server is
// killed and removed when tb ends. If tb has failed by then, the end of the
// server's log is in the test's output.
//
// It needs the server's program: without it the test fails, even if there is
// another server that [MySQL] would take. With -short it is skipped.
func StartMySQL(tb testing.TB, settings ...string) *MySQLServer {
	tb.Helper()
	return startMySQL(tb, newMysqld, settings)
}

// startMySQL makes and starts a server with make.
func startMySQL(tb testing.TB, make func(mysqlPrograms, []string) (*mysqld, error), settings []string) *MySQLServer {
	tb.Helper()
	skipIfShort(tb)
	programs, err := findMySQLPrograms()
	if err != nil {
		tb.Fatalf("testdb: this test needs a MySQL or MariaDB server of its own, to stop and kill: %v\n"+
			"scripts/install-servers.sh installs MariaDB on Debian; elsewhere put mariadbd or mysqld on PATH, "+
			"or its directory into %s", err, envMySQLBin)
	}
	m, err := make(programs, settings)
	if err != nil {
		tb.Fatal(err)
	}
	return newMySQLServer(tb, m)
}

// newMySQLServer lets a running server end with tb.
func newMySQLServer(tb testing.TB, m *mysqld) *MySQLServer {
	tb.Helper()
	tb.Cleanup(func() {
		if tb.Failed() {
			tb.Logf("the end of the log of MySQL on port %d:\n%s", m.port, tail(m.logFrom(0)))
		}
		if err := m.remove(); err != nil {
			tb.Error(err)
		}
	})
	return &MySQLServer{tb: tb, mysqld: m}
}

// Config returns the driver's default configuration for the server's empty
// database test and a user who may do everything. It is the caller's own, to
// change as it likes. The address stays the same over restarts.
func (s *MySQLServer) Config() *mysql.Config { return s.mysqld.config() }

// Dir returns the server's data directory.
func (s *MySQLServer) Dir() string { return s.mysqld.dataDir() }

// Start starts the server again after Stop or Kill, on the same data and port,
// and returns when it accepts connections.
func (s *MySQLServer) Start() {
	s.tb.Helper()
	s.check(s.mysqld.start())
}

// Stop shuts the server down as a planned restart does: sessions end,
// transactions roll back. It returns when the server has ended. Stopping a
// stopped server is nothing.
func (s *MySQLServer) Stop() {
	s.tb.Helper()
	s.check(s.mysqld.stop())
}

// Kill ends the server with SIGKILL and returns when it is gone. The kernel still
// closes its connections, so clients learn of it: what a power cut adds to that is
// silence; see Pause. Killing a stopped server is nothing.
func (s *MySQLServer) Kill() {
	s.tb.Helper()
	s.check(s.mysqld.kill())
}

// Pause freezes the server with SIGSTOP: connections stay open, new ones are
// still accepted by the kernel, and nobody answers.
func (s *MySQLServer) Pause() {
	s.tb.Helper()
	s.check(freezeServer(s.mysqld.dir))
}

// Resume lets a paused server go on where it was.
func (s *MySQLServer) Resume() {
	s.tb.Helper()
	s.check(thawServer(s.mysqld.dir))
}

func (s *MySQLServer) check(err error) {
	s.tb.Helper()
	if err != nil {
		s.tb.Fatal(err)
	}
}
