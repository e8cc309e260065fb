//go:build linux

package testdb

import (
	"context"
	"database/sql"
	"strings"
	"sync"
	"testing"

	"github.com/go-sql-driver/mysql"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestEachTestHasAMySQLDatabaseOfItsOwn(t *testing.T) {
	t.Parallel()
	one, two := MySQL(t), MySQL(t)
	require.NotEqual(t, one.DBName, two.DBName)

	executeMySQL(t, one, "CREATE TABLE mine (id int)")
	executeMySQL(t, two, "CREATE TABLE mine (id int)")

	assert.Equal(t, one.DBName, queryMySQL(t, one, "SELECT DATABASE()"))
}

func TestParallelTestsShareOneMySQLServer(t *testing.T) {
	t.Parallel()
	server := MySQL(t).Addr
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() { assert.Equal(t, server, MySQL(t).Addr) })
	}
	wg.Wait()
}

func TestConfigurationOfADatabaseIsTheCallersToChange(t *testing.T) {
	t.Parallel()
	skipIfShort(t) // this test, and not only the one inside
	t.Run("user", func(t *testing.T) {
		config := MySQL(t)
		config.Addr, config.User, config.DBName = "127.0.0.1:1", "nobody", "nothing"
	})

	require.NoError(t, connectMySQL(t, MySQL(t)).PingContext(t.Context()))
}

func TestMySQLDatabaseIsDroppedAlthoughSomebodyIsConnected(t *testing.T) {
	t.Parallel()
	skipIfShort(t)
	var database *mysql.Config
	var conn *sql.Conn
	t.Run("user", func(t *testing.T) {
		database = MySQL(t)
		executeMySQL(t, database, "CREATE TABLE used (id int) ENGINE=InnoDB")
		conn = connectMySQL(t, database)
		// A transaction that has seen a table keeps it from being dropped.
		for _, sql := range []string{"BEGIN", "INSERT INTO used VALUES (1)"} {
			_, err := conn.ExecContext(t.Context(), sql)
			require.NoError(t, err)
		}
	})

	require.Error(t, conn.PingContext(t.Context()))
	_, err := mysqlPool(t, database).Conn(t.Context())
	require.ErrorContains(t, err, "Unknown database")
}

func TestGivenMySQLServerIsUsedAndLeftAsItWas(t *testing.T) {
	t.Parallel()
	server := StartMySQL(t)
	const databases = "SELECT group_concat(schema_name ORDER BY schema_name) FROM information_schema.schemata"
	before := queryMySQL(t, server.Config(), databases)

	v := startVictim(t, "serve MySQL", envMySQL+"="+server.Config().FormatDSN())
	assert.Equal(t, server.Config().Addr, v.readDatabase())

	require.NoError(t, v.wait(), v.output)
	assert.Equal(t, before, queryMySQL(t, server.Config(), databases))
}

func TestGivenMySQLAddressThatIsNoDSNFailsWithoutShowingIt(t *testing.T) {
	t.Parallel()
	v := startVictim(t, "serve MySQL", envMySQL+"=mysql://user:secret@somewhere/")

	require.Error(t, v.wait())
	assert.Contains(t, v.output.String(), "must have the form user:password@tcp(host:port)/")
	assert.NotContains(t, v.output.String(), "secret")
}

func TestWithoutAnyMySQLTheTestFailsAndSaysWhatToDo(t *testing.T) {
	t.Parallel()
	v := startVictim(t, "serve MySQL on a bare machine", envMySQL+"=", envMySQLBin+"=", "PATH=", "DOCKER_HOST=unix:///nonexistent")

	require.Error(t, v.wait())
	for _, way := range []string{"install-servers.sh", envMySQL + "=user:", envMySQLBin, "container engine", "-short"} {
		assert.Contains(t, v.output.String(), way)
	}
}

func mysqlPool(tb testing.TB, config *mysql.Config) *sql.DB {
	tb.Helper()
	config = config.Clone()
	config.Logger = &mysql.NopLogger{} // of connections that break because they should
	connector, err := mysql.NewConnector(config)
	require.NoError(tb, err)
	db := sql.OpenDB(connector)
	tb.Cleanup(func() { _ = db.Close() })
	return db
}

func connectMySQL(tb testing.TB, config *mysql.Config) *sql.Conn {
	tb.Helper()
	conn, err := mysqlPool(tb, config).Conn(tb.Context())
	require.NoError(tb, err)
	tb.Cleanup(func() { _ = conn.Close() })
	return conn
}

func executeMySQL(tb testing.TB, config *mysql.Config, statements ...string) {
	tb.Helper()
	conn := connectMySQL(tb, config)
	defer conn.Close()
	for _, statement := range statements {
		_, err := conn.ExecContext(context.Background(), statement)
		require.NoError(tb, err, statement)
	}
}

func queryMySQL(tb testing.TB, config *mysql.Config, query string) string {
	tb.Helper()
	conn := connectMySQL(tb, config)
	defer conn.Close()
	var s string
	require.NoError(tb, conn.QueryRowContext(tb.Context(), query).Scan(&s), strings.TrimSpace(query))
	return s
}
