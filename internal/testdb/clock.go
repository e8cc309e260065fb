package testdb

import (
	_ "embed"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"
)

// StartPostgresWithClock is [StartPostgres] for a server whose clock the test
// sets with [PostgresServer.JumpClock]. It needs a C compiler too: without one the
// test fails.
func StartPostgresWithClock(tb testing.TB, settings ...string) *PostgresServer {
	tb.Helper()
	return startPostgres(tb, func(bin string, settings []string) (*postmaster, error) {
		return startPostmaster(bin, slices.Concat(postmasterSettings, settings), func(p *postmaster) error {
			if err := p.init(); err != nil {
				return err
			}
			return p.ownClock()
		})
	}, settings)
}

// StartMySQLWithClock is [StartMySQL] for a server whose clock the test sets with
// [MySQLServer.JumpClock]. It needs a C compiler too: without one the test fails.
func StartMySQLWithClock(tb testing.TB, settings ...string) *MySQLServer {
	tb.Helper()
	return startMySQL(tb, func(programs mysqlPrograms, settings []string) (*mysqld, error) {
		m, err := makeMysqld(programs, settings)
		if err != nil {
			return nil, err
		}
		if err = m.ownClock(); err == nil {
			err = m.startOnFreePort(m.start)
		}
		if err != nil {
			return nil, errors.Join(err, m.remove())
		}
		return m, nil
	}, settings)
}

// JumpClock sets the server's clock to be so much ahead of the machine's, or
// behind it if the duration is negative: for all of its processes, at once. It
// begins as the machine's does, and keeps its distance over restarts.
//
// Nothing else is different from a machine whose clock is set. Waiting for an
// instant ends when the clock says so, and waiting for a time when that is over:
// which of the two a server does for its timeouts is its own affair.
func (s *PostgresServer) JumpClock(ahead time.Duration) {
	s.tb.Helper()
	s.check(s.postmaster.setClock(ahead))
}

// JumpClock does what [PostgresServer.JumpClock] does.
func (s *MySQLServer) JumpClock(ahead time.Duration) {
	s.tb.Helper()
	s.check(s.mysqld.setClock(ahead))
}

// errNoOwnClock says that a server has been started with the clock of the machine.
var errNoOwnClock = errors.New("testdb: this server has the machine's clock: start it WithClock")

// ownClock gives the server, before its first start, a clock that setClock sets.
func (d *daemon) ownClock() error {
	library, err := clockLibrary()
	if err != nil {
		return err
	}
	d.clock = filepath.Join(d.dir, "clock")
	d.env = []string{"LD_PRELOAD=" + library, "SQLLOCK_TEST_CLOCK=" + d.clock}
	return d.setClock(0)
}

// setClock writes where the server's processes read: they have the file mapped.
func (d *daemon) setClock(ahead time.Duration) error {
	if d.clock == "" {
		return errNoOwnClock
	}
	file, err := os.OpenFile(d.clock, os.O_CREATE|os.O_WRONLY, 0o644) // the server is another user
	if err == nil {
		_, err = file.WriteAt(binary.NativeEndian.AppendUint64(nil, uint64(ahead.Nanoseconds())), 0)
		err = errors.Join(err, file.Close())
	}
	if err != nil {
		return fmt.Errorf("testdb: set the clock of %s: %w", d.name, err)
	}
	return nil
}

//go:embed clock/clock.c
var clockSource []byte

// clockLibrary compiles what servers with a clock of their own are run with. The
// library libfaketime, which has more to offer, shows the time of the machine to
// the signal handlers of PostgreSQL, which judge timeouts by it.
var clockLibrary = sync.OnceValues(func() (string, error) {
	dir, err := newServerDir("clock")
	if err != nil {
		return "", err
	}
	if err := os.WriteFile(filepath.Join(dir, "clock.c"), clockSource, 0o644); err != nil {
		return "", fmt.Errorf("testdb: %w", err)
	}
	if err := runAsServer(dir, "cc", "-std=gnu11", "-O2", "-shared", "-fPIC", "-o", "clock.so", "clock.c"); err != nil {
		return "", fmt.Errorf("testdb: a server with a clock of its own needs a C compiler; scripts/install-servers.sh installs one on Debian: %w", err)
	}
	return filepath.Join(dir, "clock.so"), nil
})
