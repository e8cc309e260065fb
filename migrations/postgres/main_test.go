package postgres

import (
	"context"
	"database/sql"
	"fmt"
	"io/fs"
	"net/url"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/require"

	"github.com/sqllock/toolkit/internal/testdb"
)

func TestMain(m *testing.M) { testdb.Main(m) }

const (
	// patience is what a test waits for something that has to happen.
	patience = 30 * time.Second
	// poll is how often it looks.
	poll = 5 * time.Millisecond
)

// open returns a database on a DSN, with settings of its sessions in the form name=value.
func open(tb testing.TB, dsn string, settings ...string) *sql.DB {
	tb.Helper()
	u, err := url.Parse(dsn)
	require.NoError(tb, err)
	query := u.Query()
	for _, setting := range settings {
		name, value, _ := strings.Cut(setting, "=")
		query.Set(name, value)
	}
	u.RawQuery = query.Encode()
	db, err := sql.Open("pgx", u.String())
	require.NoError(tb, err)
	tb.Cleanup(func() { _ = db.Close() })
	return db
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

// strings returned by a query with one column.
func query(tb testing.TB, db *sql.DB, text string, args ...any) []string {
	tb.Helper()
	rows, err := db.QueryContext(tb.Context(), text, args...)
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

// conn returns a session of db.
func conn(tb testing.TB, db *sql.DB) *sql.Conn {
	tb.Helper()
	c, err := db.Conn(tb.Context())
	require.NoError(tb, err)
	tb.Cleanup(func() { _ = c.Close() })
	return c
}

// tables returns the names of what is in a schema.
func tables(tb testing.TB, db *sql.DB, schema string) []string {
	tb.Helper()
	return query(tb, db, "SELECT relname::text FROM pg_class WHERE relnamespace = to_regnamespace(quote_ident($1))::oid ORDER BY 1", schema)
}

// describe returns all that can be told apart about the tables of a schema, and the rows that installing them writes.
func describe(tb testing.TB, db *sql.DB, schema string) []string {
	tb.Helper()
	all := query(tb, db, `
		SELECT line FROM (
			SELECT 'column ' || concat_ws(' ', table_name, ordinal_position, column_name, data_type, collation_name, is_nullable,
				column_default, is_identity, identity_generation)
			FROM information_schema.columns WHERE table_schema = $1
			UNION ALL
			SELECT 'table ' || concat_ws(' ', relname, relkind, reloptions) FROM pg_class WHERE relnamespace = quote_ident($1)::regnamespace
			UNION ALL
			SELECT 'constraint ' || concat_ws(' ', conrelid::regclass, conname, pg_get_constraintdef(oid))
			FROM pg_constraint WHERE connamespace = quote_ident($1)::regnamespace
			UNION ALL
			SELECT 'index ' || indexdef FROM pg_indexes WHERE schemaname = $1
			UNION ALL
			SELECT 'sequence ' || concat_ws(' ', sequencename, data_type, start_value, min_value, max_value, increment_by, cycle,
				cache_size, last_value)
			FROM pg_sequences WHERE schemaname = $1
		) AS description (line)
		ORDER BY line`, schema)
	all = append(all, query(tb, db, "SELECT to_json(t)::text FROM "+quote(schema)+".sqllock_meta t")...)
	return append(all, query(tb, db, "SELECT to_json(t)::text FROM "+quote(schema)+".sqllock_schema_version t")...)
}

// file returns the statements of the file of a version that goes up or down.
func file(tb testing.TB, version int, direction string) string {
	tb.Helper()
	names, err := fs.Glob(files, fmt.Sprintf("%04d_*.%s.sql", version, direction))
	require.NoError(tb, err)
	require.Len(tb, names, 1)
	content, err := files.ReadFile(names[0])
	require.NoError(tb, err)
	return string(content)
}

// release returns the files of a release whose Latest was this version.
func release(tb testing.TB, latest int) fstest.MapFS {
	tb.Helper()
	all := fstest.MapFS{}
	for version := 1; version <= latest; version++ {
		for _, direction := range []string{"up", "down"} {
			name := fmt.Sprintf("%04d_title.%s.sql", version, direction)
			all[name] = &fstest.MapFile{Data: []byte(file(tb, version, direction))}
		}
	}
	return all
}

// with returns the toolkit's files and those of later versions, which do this.
func with(tb testing.TB, later ...string) fstest.MapFS {
	tb.Helper()
	all := release(tb, Latest)
	for i, statements := range later {
		all[fmt.Sprintf("%04d_later.up.sql", Latest+1+i)] = &fstest.MapFile{Data: []byte(statements)}
	}
	return all
}

// a lock is a session that holds the migrations' advisory lock.
type lock struct{ *sql.Conn }

func lockMigrations(tb testing.TB, db *sql.DB) lock {
	tb.Helper()
	holder := lock{conn(tb, db)}
	exec(tb, holder, "SELECT pg_advisory_lock("+lockKeyText+")")
	return holder
}

func (l lock) release(tb testing.TB) {
	tb.Helper()
	exec(tb, l, "SELECT pg_advisory_unlock("+lockKeyText+")")
}

// awaitWaiters returns when n sessions of migrators have found the lock held.
func awaitWaiters(tb testing.TB, db *sql.DB, n int) {
	tb.Helper()
	require.Eventually(tb, func() bool {
		waiting := query(tb, db, `
			SELECT pid::text FROM pg_stat_activity
			WHERE datname = current_database() AND application_name = 'migrator' AND state = 'idle' AND query = 'ROLLBACK'`)
		return len(waiting) == n
	}, patience, poll)
}
