//go:build linux

package testdb

import (
	"database/sql"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestGaleraNodesHaveOneAnothersData(t *testing.T) {
	t.Parallel()
	nodes := StartGalera(t, 3)
	executeMySQL(t, nodes[0].Config(), "CREATE TABLE shared (node int PRIMARY KEY) ENGINE=InnoDB")
	for i, node := range nodes {
		_, err := waitForOthers(t, node).ExecContext(t.Context(), "INSERT INTO shared VALUES (?)", i)
		require.NoError(t, err)
	}

	for _, node := range nodes {
		var rows int
		require.NoError(t, waitForOthers(t, node).QueryRowContext(t.Context(), "SELECT count(*) FROM shared").Scan(&rows))
		assert.Equal(t, 3, rows)
	}
}

func TestGaleraNodeRejoinsAndHasWhatItMissed(t *testing.T) {
	t.Parallel()
	nodes := StartGalera(t, 3)
	executeMySQL(t, nodes[0].Config(), "CREATE TABLE shared (node int PRIMARY KEY) ENGINE=InnoDB")
	for i, end := range []func(*MySQLServer){
		(*MySQLServer).Stop, // the first, which was alone in the beginning
		(*MySQLServer).Kill,
		func(s *MySQLServer) { s.Pause(); s.Kill() },
	} {
		node, other := nodes[i], nodes[(i+1)%len(nodes)]
		address := node.Config().Addr

		end(node)

		// Until the others are sure that it has gone, they refuse or wait.
		require.Eventually(t, func() bool {
			_, err := connectMySQL(t, other.Config()).ExecContext(t.Context(), "INSERT INTO shared VALUES (?)", i)
			return err == nil
		}, startTimeout, poll)
		node.Start()
		assert.Equal(t, address, node.Config().Addr)
		var rows int
		require.NoError(t, waitForOthers(t, node).QueryRowContext(t.Context(), "SELECT count(*) FROM shared").Scan(&rows))
		assert.Equal(t, i+1, rows)
		assert.Contains(t, string(node.mysqld.logFrom(node.mysqld.logged)), "Receiving IST", "not everything anew, for which another node would stand still")
	}
}

func TestGaleraIsGoneWhenItsTestEnds(t *testing.T) {
	t.Parallel()
	galeraPrograms(t) // skips this test, and not only the one inside
	var dir string
	t.Run("user", func(t *testing.T) { dir = filepath.Dir(StartGalera(t, 1)[0].Dir()) })

	assert.NoDirExists(t, dir)
	pids, err := processesIn(dir)
	require.NoError(t, err)
	assert.Empty(t, pids)
}

// waitForOthers returns a session that sees what other nodes have committed before.
func waitForOthers(t *testing.T, node *MySQLServer) *sql.Conn {
	t.Helper()
	conn := connectMySQL(t, node.Config())
	_, err := conn.ExecContext(t.Context(), "SET SESSION wsrep_sync_wait = 7")
	require.NoError(t, err)
	return conn
}
