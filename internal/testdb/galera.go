package testdb

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// libgalera is where Debian's package galera-4 has the library.
const libgalera = "/usr/lib/galera/libgalera_smm.so"

// StartGalera starts a Galera cluster of MariaDB nodes for this test alone, and
// returns when all of them are synced. The database test is on all of them. Each
// may be stopped, killed, frozen and started again; [MySQLServer.Start] returns
// when the node is in sync with the others, of which a majority must have stayed.
//
// It needs the package galera-4 beside MariaDB: without it the test fails, and
// says how to get it. With -short it is skipped, and where the tests run against
// MySQL, which has no Galera.
func StartGalera(tb testing.TB, nodes int) []*MySQLServer {
	tb.Helper()
	programs := galeraPrograms(tb)
	var cluster []*mysqld
	var err error
	const tries = 10
	for range tries {
		if cluster, err = newGalera(programs, nodes); !errors.Is(err, errPortTaken) {
			break
		}
	}
	if err != nil {
		tb.Fatal(err)
	}
	servers := make([]*MySQLServer, 0, nodes)
	for _, m := range cluster {
		servers = append(servers, newMySQLServer(tb, m))
	}
	return servers
}

// galeraPrograms skips what -short leaves out, and what MySQL does not have.
func galeraPrograms(tb testing.TB) mysqlPrograms {
	tb.Helper()
	skipIfShort(tb)
	programs, err := findMySQLPrograms()
	if err == nil && programs.install == "" {
		tb.Skipf("needs MariaDB, which %s is not", programs.server)
	}
	_, noLibrary := os.Stat(libgalera)
	_, noRsync := exec.LookPath("rsync") // by which a node gets the data of another one
	if err := errors.Join(err, noLibrary, noRsync); err != nil {
		tb.Fatalf("testdb: this test needs a Galera cluster: %v\n"+
			"scripts/install-servers.sh installs what it takes on Debian: mariadb-server, galera-4 and rsync", err)
	}
	return programs
}

// newGalera makes a cluster and starts it.
func newGalera(programs mysqlPrograms, nodes int) (cluster []*mysqld, err error) {
	defer func() {
		if err != nil {
			for _, m := range cluster {
				err = errors.Join(err, m.remove())
			}
			cluster = nil
		}
	}()
	name := rand.Text()
	var addresses []string
	for range nodes {
		m, address, err := makeGaleraNode(programs, name)
		if err != nil {
			return cluster, err
		}
		cluster, addresses = append(cluster, m), append(addresses, address)
	}
	for i, m := range cluster {
		m.settings = append(m.settings, "wsrep-cluster-address=gcomm://"+strings.Join(addresses, ","))
		// Only now: started later, the first node must look for the others as well.
		start := m.start
		if i == 0 {
			start = func() error { return m.run("wsrep-cluster-address=gcomm://") }
		}
		if err := start(); err != nil {
			return cluster, err
		}
	}
	for _, m := range cluster {
		if err := m.awaitSynced(nodes); err != nil {
			return cluster, err
		}
	}
	return cluster, nil
}

// makeGaleraNode makes a node that has not run yet, and returns the address at
// which it will talk to the others.
func makeGaleraNode(programs mysqlPrograms, cluster string) (*mysqld, string, error) {
	var ports [4]int
	for i := range ports {
		var err error
		if ports[i], err = freePort(); err != nil {
			return nil, "", err
		}
	}
	listen := fmt.Sprintf("127.0.0.1:%d", ports[1])
	m, err := makeMysqld(programs, []string{
		"wsrep-on=ON",
		"wsrep-provider=" + libgalera,
		"binlog-format=ROW",
		"innodb-autoinc-lock-mode=2",
		// Nodes of several clusters take turns on the same ports.
		"wsrep-cluster-name=" + cluster,
		"wsrep-node-address=127.0.0.1",
		"wsrep-sst-method=rsync",
		fmt.Sprintf("wsrep-sst-receive-address=127.0.0.1:%d", ports[2]),
		fmt.Sprintf("wsrep-provider-options=gmcast.listen_addr=tcp://%s;base_port=%d;ist.recv_addr=127.0.0.1:%d;gcache.size=16M",
			listen, ports[1], ports[3]),
	})
	if err != nil {
		return nil, "", err
	}
	m.galera, m.port = true, ports[0]
	return m, listen, nil
}

// join starts the node at the transaction at which it ended, so that the others
// send it only what it has missed.
func (m *mysqld) join() error {
	position, err := m.galeraPosition()
	if err != nil {
		return err
	}
	if err := m.run("wsrep-start-position=" + position); err != nil {
		return err
	}
	return m.awaitSynced(0)
}

var recoveredPosition = regexp.MustCompile(`Recovered position: (\S+)`)

// galeraPosition asks the storage engine, as Debian does before each start: a node
// that was killed has not noted it elsewhere.
func (m *mysqld) galeraPosition() (string, error) {
	if m.running() {
		return "", fmt.Errorf("testdb: %s is running already", m.name)
	}
	output, err := outputAsServer(m.dir, m.programs.server, mysqldArgs(m.dataDir(), slices.Concat(m.settings, []string{"wsrep-recover"}))...)
	if err != nil {
		return "", err
	}
	match := recoveredPosition.FindSubmatch(output)
	if match == nil {
		return "", fmt.Errorf("testdb: the position of a Galera node is not in\n%s", output)
	}
	return string(match[1]), nil
}

// awaitSynced returns when the node follows a cluster of at least so many nodes.
func (m *mysqld) awaitSynced(nodes int) error {
	giveUp := time.Now().Add(startTimeout)
	for {
		state, size, err := m.galeraStatus()
		if err == nil && state == "Synced" && size >= nodes {
			return nil
		}
		if time.Now().After(giveUp) {
			return errors.Join(err, fmt.Errorf("testdb: the Galera node is %q in a cluster of %d after %v; its log:\n%s",
				state, size, startTimeout, tail(m.logFrom(m.logged))))
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func (m *mysqld) galeraStatus() (state string, size int, err error) {
	server := m.config()
	server.DBName = "" // in which a node that is not ready lets nobody
	err = onMySQL(server, func(ctx context.Context, conn *sql.Conn) error {
		return conn.QueryRowContext(ctx, `
			SELECT (SELECT variable_value FROM information_schema.global_status WHERE variable_name = 'wsrep_local_state_comment'),
			       (SELECT variable_value FROM information_schema.global_status WHERE variable_name = 'wsrep_cluster_size')`).Scan(&state, &size)
	})
	return state, size, err
}
