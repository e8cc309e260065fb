package sqlite

import (
	"database/sql"
	"path/filepath"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/require"
	_ "modernc.org/sqlite"

	"github.com/sqllock/toolkit/internal/testdb"
	"github.com/sqllock/toolkit/migrations/internal/lockschema"
)

func TestMain(m *testing.M) { testdb.Main(m) }

const (
	// patience is what a test waits for something that has to happen.
	patience = 30 * time.Second
	// poll is how often it looks.
	poll = 5 * time.Millisecond
)

// impatient are settings under which SQLite itself waits for nobody.
const impatient = "?_pragma=busy_timeout(0)"

func newFile(tb testing.TB) string {
	tb.Helper()
	return filepath.Join(tb.TempDir(), "locks.db")
}

func open(tb testing.TB, dsn string) *sql.DB {
	tb.Helper()
	db, err := sql.Open("sqlite", dsn)
	require.NoError(tb, err)
	tb.Cleanup(func() { _ = db.Close() })
	return db
}

// conn returns a connection of db.
func conn(tb testing.TB, db *sql.DB) *sql.Conn {
	tb.Helper()
	c, err := db.Conn(tb.Context())
	require.NoError(tb, err)
	tb.Cleanup(func() { _ = c.Close() })
	return c
}

func exec(tb testing.TB, c *sql.Conn, statements ...string) {
	tb.Helper()
	for _, statement := range statements {
		_, err := c.ExecContext(tb.Context(), statement)
		require.NoError(tb, err, statement)
	}
}

// query returns the strings of a query with one column.
func query(tb testing.TB, db *sql.DB, text string) []string {
	tb.Helper()
	rows, err := db.QueryContext(tb.Context(), text)
	require.NoError(tb, err, text)
	defer rows.Close()
	var all []string
	for rows.Next() {
		var one string
		require.NoError(tb, rows.Scan(&one))
		all = append(all, one)
	}
	require.NoError(tb, rows.Err())
	return all
}

// tables returns the names of what is in the file.
func tables(tb testing.TB, db *sql.DB) []string {
	tb.Helper()
	return query(tb, db, "SELECT name FROM sqlite_master WHERE name NOT LIKE 'sqlite_%' ORDER BY name")
}

// describe returns all that can be told apart about the tables of the file, and the rows that installing them writes.
func describe(tb testing.TB, db *sql.DB) []string {
	tb.Helper()
	all := query(tb, db, "SELECT concat_ws(' ', type, name, tbl_name, sql) FROM sqlite_master ORDER BY type, name")
	all = append(all, query(tb, db, "SELECT concat_ws(' ', one, oldest_reader, token_floor) FROM sqllock_meta")...)
	return append(all, query(tb, db, "SELECT concat_ws(' ', version, dirty) FROM sqllock_schema_version")...)
}

// with returns a schema of the toolkit's files and more, by name.
func with(tb testing.TB, more map[string]string) lockschema.Schema {
	tb.Helper()
	all := fstest.MapFS{}
	entries, err := files.ReadDir(".")
	require.NoError(tb, err)
	for _, entry := range entries {
		content, err := files.ReadFile(entry.Name())
		require.NoError(tb, err)
		all[entry.Name()] = &fstest.MapFile{Data: content}
	}
	for name, content := range more {
		all[name] = &fstest.MapFile{Data: []byte(content)}
	}
	return lockschema.Schema{Files: all, Database: file{}}
}
