package testdb

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// postmasterPID is the file in which a running PostgreSQL notes what it is doing.
const postmasterPID = "postmaster.pid"

// startTimeout is ample: a server is ready in half a second, but the machine may
// be busy with everybody else's tests.
const startTimeout = time.Minute

// errPortTaken says that a server has found its port in use.
var errPortTaken = errors.New("testdb: the port is in use")

// A postmaster is a private PostgreSQL server, run from programs on this machine.
// Its methods are not safe for concurrent use.
type postmaster struct {
	bin      string // where postgres and initdb are
	dir      string // contains data and the log, and is the working directory
	settings []string
	port     int

	process *os.Process
	exited  chan struct{} // closed when process has ended; nil before the first start
}

// newPostmaster makes a server on a directory of its own and starts it.
func newPostmaster(bin string, settings []string) (*postmaster, error) {
	return startPostmaster(bin, append([]string{
		"listen_addresses=127.0.0.1",
		"unix_socket_directories=",
		"max_connections=200",
		// These tests crash servers, not machines, and what a process has written
		// the kernel keeps. All other safety is left as it is in production.
		"fsync=off",
		// In files below data, not in /dev/shm, where they would survive a kill.
		"dynamic_shared_memory_type=mmap",
	}, settings...), (*postmaster).init)
}

// startPostmaster starts a server in a new directory, in which fill makes the
// data.
func startPostmaster(bin string, settings []string, fill func(*postmaster) error) (*postmaster, error) {
	dir, err := newServerDir("postgres")
	if err != nil {
		return nil, err
	}
	p := &postmaster{bin: bin, dir: dir, settings: settings}
	if err := fill(p); err != nil {
		return nil, errors.Join(err, p.remove())
	}
	if err := p.startOnFreePort(); err != nil {
		return nil, errors.Join(err, p.remove())
	}
	return p, nil
}

func (p *postmaster) dataDir() string { return filepath.Join(p.dir, "data") }

func (p *postmaster) logFile() string { return filepath.Join(p.dir, "postgres.log") }

// dsn is the URL of the server's own database, postgres.
func (p *postmaster) dsn() string {
	return fmt.Sprintf("postgres://postgres@127.0.0.1:%d/postgres?sslmode=disable", p.port)
}

// init fills the data directory. Copying costs a third of what initdb costs, and
// many tests want a server of their own.
func (p *postmaster) init() error {
	template, err := postgresTemplate(p.bin)
	if err != nil {
		return err
	}
	return runAsServer(p.dir, "cp", "-R", template, p.dataDir())
}

func (p *postmaster) startOnFreePort() error {
	const tries = 10
	var err error
	for range tries {
		if p.port, err = freePort(); err != nil {
			return err
		}
		if err = p.start(); !errors.Is(err, errPortTaken) {
			return err
		}
	}
	return err
}

// start starts the server on its port and returns when it accepts connections.
func (p *postmaster) start() error {
	if p.running() {
		return errors.New("testdb: PostgreSQL is running already")
	}
	log, err := os.OpenFile(p.logFile(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("testdb: %w", err)
	}
	defer log.Close()
	before, err := log.Stat()
	if err != nil {
		return fmt.Errorf("testdb: %w", err)
	}

	args := []string{"-D", p.dataDir(), "-p", strconv.Itoa(p.port)}
	for _, setting := range p.settings {
		args = append(args, "-c", setting)
	}
	cmd := exec.Command(filepath.Join(p.bin, "postgres"), args...)
	if err := asServer(cmd, p.dir); err != nil {
		return err
	}
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("testdb: start PostgreSQL: %w", err)
	}
	p.process, p.exited = cmd.Process, make(chan struct{})
	go func(exited chan struct{}) {
		_ = cmd.Wait()
		close(exited)
	}(p.exited)
	return p.awaitReady(before.Size())
}

// awaitReady watches the server's own status. To connect would be less certain:
// if the port was taken meanwhile, whoever took it might answer.
func (p *postmaster) awaitReady(logStart int64) error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	timeout := time.After(startTimeout)
	for !p.ready() {
		select {
		case <-tick.C:
		case <-p.exited:
			log := p.logFrom(logStart)
			if bytes.Contains(log, []byte("Address already in use")) {
				return errPortTaken
			}
			return fmt.Errorf("testdb: PostgreSQL has ended instead of starting; its log:\n%s", log)
		case <-timeout:
			return fmt.Errorf("testdb: PostgreSQL is not ready after %v; its log:\n%s", startTimeout, p.logFrom(logStart))
		}
	}
	return nil
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

func (p *postmaster) running() bool {
	if p.exited == nil {
		return false
	}
	select {
	case <-p.exited:
		return false
	default:
		return true
	}
}

// stop shuts the server down in the fast way: it ends its sessions, and writes a
// checkpoint. A frozen server thaws for it.
func (p *postmaster) stop() error {
	if !p.running() {
		return nil
	}
	if err := thawServer(p.dir); err != nil {
		return err
	}
	if err := p.process.Signal(os.Interrupt); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("testdb: stop PostgreSQL: %w", err)
	}
	select {
	case <-p.exited:
		return nil
	case <-time.After(startTimeout):
		return fmt.Errorf("testdb: PostgreSQL has not stopped after %v; its log:\n%s", startTimeout, p.logFrom(0))
	}
}

// kill ends the server at one blow.
func (p *postmaster) kill() error {
	if err := killServer(p.dir); err != nil {
		return err
	}
	if p.exited != nil {
		<-p.exited
	}
	return nil
}

// remove ends the server and removes its directory.
func (p *postmaster) remove() error {
	if err := p.kill(); err != nil {
		return err
	}
	return removeServerDir(p.dir)
}

// logFrom returns the end of what the server has logged since its log was offset
// bytes long.
func (p *postmaster) logFrom(offset int64) []byte {
	log, err := os.ReadFile(p.logFile())
	if err != nil {
		return []byte(err.Error())
	}
	const enough = 4096
	log = log[min(offset, int64(len(log))):]
	return log[max(0, len(log)-enough):]
}
