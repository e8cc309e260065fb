package mysql

import (
	"context"
	"database/sql"
	"testing"
	"testing/fstest"
	"time"

	driver "github.com/go-sql-driver/mysql"
	"github.com/stretchr/testify/require"

	"github.com/sqllock/toolkit/internal/testdb"
)

func TestMain(m *testing.M) { testdb.Main(m) }

// patience is what a test waits for something that has to happen.
const patience = 30 * time.Second

func open(tb testing.TB, cfg *driver.Config) *sql.DB {
	tb.Helper()
	connector, err := driver.NewConnector(cfg)
	require.NoError(tb, err)
	db := sql.OpenDB(connector)
	tb.Cleanup(func() { _ = db.Close() })
	return db
}

func openDSN(tb testing.TB, dsn string) *sql.DB {
	tb.Helper()
	cfg, err := driver.ParseDSN(dsn)
	require.NoError(tb, err)
	return open(tb, cfg)
}

func exec(tb testing.TB, db interface {
	ExecContext(context.Context, string, ...any) (sql.Result, error)
}, statements ...string,
) {
	tb.Helper()
	for _, statement := range statements {
		_, err := db.ExecContext(tb.Context(), statement)
		require.NoError(tb, err, statement)
	}
}

// query returns the first column.
func query(tb testing.TB, db *sql.DB, text string, args ...any) []string {
	tb.Helper()
	rows, err := db.QueryContext(tb.Context(), text, args...)
	require.NoError(tb, err, text)
	defer rows.Close()
	var all []string
	for rows.Next() {
		var one sql.NullString
		require.NoError(tb, rows.Scan(&one))
		all = append(all, one.String)
	}
	require.NoError(tb, rows.Err())
	return all
}

// tables returns the names of what is in the current database.
func tables(tb testing.TB, db *sql.DB) []string {
	tb.Helper()
	return query(tb, db, "SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE() ORDER BY 1")
}

// describe returns all that can be told apart about the tables of the current database, and the rows that installing them writes.
func describe(tb testing.TB, db *sql.DB) []string {
	tb.Helper()
	all := query(tb, db, `
		SELECT CONCAT_WS(' ', table_name, ordinal_position, column_name, column_type, character_set_name, collation_name, is_nullable, extra)
		FROM information_schema.columns WHERE table_schema = DATABASE() ORDER BY table_name, ordinal_position`)
	all = append(all, query(tb, db, `
		SELECT CONCAT_WS(' ', table_name, index_name, seq_in_index, column_name, non_unique)
		FROM information_schema.statistics WHERE table_schema = DATABASE() ORDER BY table_name, index_name, seq_in_index`)...)
	all = append(all, query(tb, db, "SELECT CONCAT_WS(' ', table_name, engine) FROM information_schema.tables WHERE table_schema = DATABASE() ORDER BY 1")...)
	all = append(all, query(tb, db, "SELECT CONCAT_WS(' ', one, oldest_reader, token_floor) FROM sqllock_meta")...)
	return append(all, query(tb, db, "SELECT CONCAT_WS(' ', version, dirty) FROM sqllock_schema_version")...)
}

// with returns the toolkit's files and one of the next version, which does this.
func with(tb testing.TB, statements string) fstest.MapFS {
	tb.Helper()
	all := fstest.MapFS{"0002_later.up.sql": &fstest.MapFile{Data: []byte(statements)}}
	for _, name := range []string{"0001_locks.up.sql", "0001_locks.down.sql"} {
		content, err := files.ReadFile(name)
		require.NoError(tb, err)
		all[name] = &fstest.MapFile{Data: content}
	}
	return all
}
