package testdb

import "testing"

// A PostgresServer is a PostgreSQL server that one test has to itself, to do to
// it what happens to servers. Its methods fail the test if they cannot do what
// they say; call them from the test's own goroutine, one at a time.
type PostgresServer struct {
	tb         testing.TB
	postmaster *postmaster
}

// StartPostgres starts a server for this test alone, with settings such as
// "max_locks_per_transaction=10" on top of PostgreSQL's defaults. fsync is off
// unless they turn it on, and then needs TMPDIR on a disk to do anything. The
// server is killed and removed when tb ends. If tb has failed by then, the end of
// the server's log is in the test's output.
//
// It needs the server's programs: without them the test fails, even if there is
// another server that [Postgres] would take. With -short it is skipped.
func StartPostgres(tb testing.TB, settings ...string) *PostgresServer {
	tb.Helper()
	return startPostgres(tb, newPostmaster, settings)
}

// startPostgres makes and starts a server with make.
func startPostgres(tb testing.TB, make func(string, []string) (*postmaster, error), settings []string) *PostgresServer {
	tb.Helper()
	skipIfShort(tb)
	bin, err := postgresPrograms()
	if err != nil {
		tb.Fatalf("testdb: this test needs a PostgreSQL server of its own, to stop and kill: %v\n"+
			"scripts/install-servers.sh installs the programs on Debian; elsewhere put initdb and postgres on PATH, "+
			"or their directory into %s", err, envPostgresBin)
	}
	p, err := make(bin, settings)
	if err != nil {
		tb.Fatal(err)
	}
	return newPostgresServer(tb, p)
}

// newPostgresServer lets a running server end with tb.
func newPostgresServer(tb testing.TB, p *postmaster) *PostgresServer {
	tb.Helper()
	tb.Cleanup(func() {
		if tb.Failed() {
			tb.Logf("the end of the log of PostgreSQL on port %d:\n%s", p.port, tail(p.logFrom(0)))
		}
		if err := p.remove(); err != nil {
			tb.Error(err)
		}
	})
	return &PostgresServer{tb: tb, postmaster: p}
}

// DSN returns the postgres:// URL of the server's database postgres, for a
// superuser. It stays the same over restarts.
func (s *PostgresServer) DSN() string { return s.postmaster.dsn() }

// Dir returns the server's data directory.
func (s *PostgresServer) Dir() string { return s.postmaster.dataDir() }

// Start starts the server again after Stop or Kill, on the same data and port,
// and returns when it accepts connections.
func (s *PostgresServer) Start() {
	s.tb.Helper()
	s.check(s.postmaster.start())
}

// Stop shuts the server down in PostgreSQL's fast mode, as a planned restart
// does: sessions are told that they end, transactions roll back. It returns when
// the server has ended. Stopping a stopped server is nothing.
func (s *PostgresServer) Stop() {
	s.tb.Helper()
	s.check(s.postmaster.stop())
}

// Kill ends the postmaster and its children with SIGKILL, all at once, and
// returns when they are gone. The kernel still closes their connections, so
// clients learn of it: what a power cut adds to that is silence; see Pause.
// Killing a stopped server is nothing.
func (s *PostgresServer) Kill() {
	s.tb.Helper()
	s.check(s.postmaster.kill())
}

// Pause freezes the postmaster and its children with SIGSTOP: connections stay
// open, new ones are still accepted by the kernel, and nobody answers.
func (s *PostgresServer) Pause() {
	s.tb.Helper()
	s.check(freezeServer(s.postmaster.dir))
}

// Resume lets a paused server go on where it was.
func (s *PostgresServer) Resume() {
	s.tb.Helper()
	s.check(thawServer(s.postmaster.dir))
}

func (s *PostgresServer) check(err error) {
	s.tb.Helper()
	if err != nil {
		s.tb.Fatal(err)
	}
}
