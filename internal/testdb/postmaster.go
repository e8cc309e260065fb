package testdb

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// postmasterPID is the file in which a running PostgreSQL notes what it is doing.
const postmasterPID = "postmaster.pid"

// A postmaster is a private PostgreSQL server, run from programs on this machine.
// Its methods are not safe for concurrent use.
type postmaster struct {
	daemon
	bin      string // where postgres and initdb are
	settings []string
}

// postmasterSettings are for all servers but replicas, which have those of their
// primary.
var postmasterSettings = []string{
	"listen_addresses=127.0.0.1",
	"unix_socket_directories=",
	"max_connections=200",
	// These tests crash servers, not machines, and what a process has written
	// the kernel keeps. All other safety is left as it is in production.
	"fsync=off",
	// In files below data, not in /dev/shm, where they would survive a kill.
	"dynamic_shared_memory_type=mmap",
}

// newPostmaster makes a server on a directory of its own and starts it.
func newPostmaster(bin string, settings []string) (*postmaster, error) {
	return startPostmaster(bin, slices.Concat(postmasterSettings, settings), (*postmaster).init)
}

// startPostmaster starts a server in a new directory, in which fill makes the
// data.
func startPostmaster(bin string, settings []string, fill func(*postmaster) error) (*postmaster, error) {
	dir, err := newServerDir("postgres")
	if err != nil {
		return nil, err
	}
	p := &postmaster{daemon: daemon{name: "PostgreSQL", dir: dir}, bin: bin, settings: settings}
	if err := fill(p); err != nil {
		return nil, errors.Join(err, p.remove())
	}
	if err := p.startOnFreePort(p.start); err != nil {
		return nil, errors.Join(err, p.remove())
	}
	return p, nil
}

// dsn is the URL of the server's own database, postgres.
func (p *postmaster) dsn() string {
	return fmt.Sprintf("postgres://postgres@127.0.0.1:%d/postgres?sslmode=disable", p.port)
}

// init fills the data directory. Copying costs a third of what initdb costs, and
// many tests want a server of their own.
func (p *postmaster) init() error {
	template, err := postgresTemplates.get(p.bin)
	if err != nil {
		return err
	}
	return runAsServer(p.dir, "cp", "-R", template, p.dataDir())
}

// start starts the server on its port and returns when it accepts connections.
func (p *postmaster) start() error {
	args := []string{"-D", p.dataDir(), "-p", strconv.Itoa(p.port)}
	for _, setting := range p.settings {
		args = append(args, "-c", setting)
	}
	return p.launch(filepath.Join(p.bin, "postgres"), args, p.ready)
}

// ready reports whether the server has started, by the eighth line of its pid
// file. A hot standby says ready there as soon as it accepts connections, and
// standby if hot_standby=off lets it accept none.
func (p *postmaster) ready() bool {
	content, err := os.ReadFile(filepath.Join(p.dataDir(), postmasterPID))
	if err != nil {
		return false
	}
	lines := strings.Split(string(content), "\n")
	if len(lines) < 8 {
		return false
	}
	status := strings.TrimSpace(lines[7])
	return status == "ready" || status == "standby"
}

// stop shuts the server down in the fast way: it ends its sessions, and writes a
// checkpoint.
func (p *postmaster) stop() error { return p.end(os.Interrupt) }
