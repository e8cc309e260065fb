package testdb

import (
	"bytes"
	"errors"
	"net"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"

	"github.com/go-sql-driver/mysql"
)

// mysqldSettings are for the data directory and all servers on it. What only
// MySQL or only MariaDB has, or not every version of it, is loose.
var mysqldSettings = []string{
	"bind-address=127.0.0.1",
	"skip-networking=0",
	"skip-name-resolve",
	"socket=",
	"loose-mysqlx=OFF",
	"max-connections=300",
	// Small, since each test that has a server of its own copies and maps it.
	"innodb-buffer-pool-size=32M",
	"loose-innodb-log-file-size=16M",
	"loose-innodb-redo-log-capacity=16M",
	// There is a limit to it for all servers of a machine together.
	"innodb-use-native-aio=0",
	// These tests crash servers, not machines, and what a process has written
	// the kernel keeps. All other safety is left as it is in production.
	"innodb-flush-log-at-trx-commit=2",
	"sync-binlog=0",
	"skip-log-bin",
}

// A mysqld is a private MySQL or MariaDB server, run from programs on this
// machine. Its methods are not safe for concurrent use.
type mysqld struct {
	daemon
	programs mysqlPrograms
	settings []string
	galera   bool // it is a node of a cluster
}

// newMysqld makes a server on a directory of its own and starts it.
func newMysqld(programs mysqlPrograms, settings []string) (*mysqld, error) {
	m, err := makeMysqld(programs, settings)
	if err != nil {
		return nil, err
	}
	if err := m.startOnFreePort(m.start); err != nil {
		return nil, errors.Join(err, m.remove())
	}
	return m, nil
}

// makeMysqld makes a server that has not run yet.
func makeMysqld(programs mysqlPrograms, settings []string) (*mysqld, error) {
	template, err := mysqlTemplates.get(programs)
	if err != nil {
		return nil, err
	}
	dir, err := newServerDir("mysql")
	if err != nil {
		return nil, err
	}
	m := &mysqld{daemon: daemon{name: "MySQL", dir: dir}, programs: programs, settings: settings}
	if err := runAsServer(dir, "cp", "-R", template, m.dataDir()); err != nil {
		return nil, errors.Join(err, m.remove())
	}
	return m, nil
}

// config is for the server's own empty database.
func (m *mysqld) config() *mysql.Config {
	config := mysql.NewConfig()
	config.User = "root"
	config.Net = "tcp"
	config.Addr = net.JoinHostPort("127.0.0.1", strconv.Itoa(m.port))
	config.DBName = "test"
	return config
}

// start starts the server on its port and returns when it accepts connections, or
// if it is a node of a cluster, when it has joined the others.
func (m *mysqld) start() error {
	if m.galera {
		return m.join()
	}
	return m.run()
}

// run starts the server with more settings than its own.
func (m *mysqld) run(settings ...string) error {
	port := "port=" + strconv.Itoa(m.port)
	return m.launch(m.programs.server, mysqldArgs(m.dataDir(), slices.Concat([]string{port}, m.settings, settings)), m.ready)
}

// mysqldArgs lets settings override those of all servers.
func mysqldArgs(dataDir string, settings []string) []string {
	// A server that starts removes the temporary tables that it finds in its tmpdir, those of others that work there too.
	args := []string{"--no-defaults", "--datadir=" + dataDir, "--tmpdir=" + filepath.Dir(dataDir)}
	for _, set := range [][]string{mysqldSettings, settings} {
		for _, setting := range set {
			args = append(args, "--"+setting)
		}
	}
	return args
}

func (m *mysqld) ready() bool {
	return bytes.Contains(m.logFrom(m.logged), []byte("ready for connections"))
}

// stop shuts the server down in the normal way: it ends its sessions, rolls back
// their transactions, and writes out what is in memory.
func (m *mysqld) stop() error { return m.end(syscall.SIGTERM) }
