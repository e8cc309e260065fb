package postgres_test

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sqllock/toolkit/internal/testdb"
)

// TestPlansForSmallTablesAreLookups asks for the plans that a connection keeps, while there is nothing in the tables, or little: with a million rows
// they would still be used, until the server has analysed the table.
func TestPlansForSmallTablesAreLookups(t *testing.T) {
	t.Parallel()
	for name, rows := range map[string]int{"Empty": 0, "Few": 300} {
		t.Run(name, func(t *testing.T) { t.Parallel(); plansAreLookups(t, rows) })
	}
}

func plansAreLookups(t *testing.T, rows int) {
	t.Helper()
	ctx := t.Context()
	dsn := testdb.Postgres(t)
	migrate(t, dsn)
	conn, err := pgx.Connect(ctx, dsn)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close(ctx) })
	if rows > 0 {
		_, err = conn.Exec(ctx, `WITH n AS (SELECT generate_series(1, $1::int) AS n),
			r AS (INSERT INTO sqllock_resources (namespace, name, token, used_at) SELECT '', n, 1, now() FROM n RETURNING id),
			s AS (INSERT INTO sqllock_sessions (id, owner, opened_at, expires_at) SELECT n, '', now(), now() FROM n RETURNING id),
			w AS (INSERT INTO sqllock_waiters (resource, session, mode, permits, since) SELECT n, n, 'x', 0, now() FROM n)
			INSERT INTO sqllock_holders (resource, token, mode, permits, session, acquired_at) SELECT n, 1, 'x', 0, n, now() FROM n`, rows)
		require.NoError(t, err)
		_, err = conn.Exec(ctx, "ANALYZE", pgx.QueryExecModeSimpleProtocol)
		require.NoError(t, err)
	}
	read := func(name string) string {
		text, err := os.ReadFile("sql/" + name + ".sql")
		require.NoError(t, err)
		return string(text)
	}
	keys := map[string]string{
		"sqllock_sessions": `\(id = `, "sqllock_resources": `\((name|id) = `, "sqllock_holders": `\(resource = `, "sqllock_waiters": `\((resource|id) = `,
	}
	for name, args := range map[string]string{
		"lock_one":    "('', 'n', 1, 0)",
		"grant_one":   "('', 'n', 1, 'x', 0, 0, null)",
		"release_one": "(1, 1, 'off')",
		"wake":        "(array[1, 2])",
		"grant":       "('', array['n'], 1, array['x'], array[0], array[0::bigint], array[null::text], array[0::bigint])",
	} {
		tx, err := conn.Begin(ctx)
		require.NoError(t, err)
		for _, setting := range []string{read("settings"), "SELECT set_config('sqllock.session', '1', true), set_config('sqllock.locked', '1', true)"} {
			_, err = tx.Exec(ctx, setting, pgx.QueryExecModeSimpleProtocol)
			require.NoError(t, err)
		}
		_, err = tx.Exec(ctx, "PREPARE p_"+name+" AS "+read(name), pgx.QueryExecModeSimpleProtocol)
		require.NoError(t, err)
		var plan string
		require.NoError(t, tx.QueryRow(ctx, "EXPLAIN (FORMAT JSON) EXECUTE p_"+name+args, pgx.QueryExecModeSimpleProtocol).Scan(&plan))
		require.NoError(t, tx.Rollback(ctx))
		var parsed any
		require.NoError(t, json.Unmarshal([]byte(plan), &parsed))
		scans := 0
		eachNode(parsed, func(node map[string]any) {
			table, _ := node["Relation Name"].(string)
			kind, _ := node["Node Type"].(string)
			if !strings.HasPrefix(table, "sqllock_") || !strings.Contains(kind, "Scan") {
				return
			}
			scans++
			assert.Regexp(t, keys[table], node["Index Cond"], "%s: %s on %s", name, kind, table)
		})
		assert.Positive(t, scans, name)
	}
}

func eachNode(tree any, visit func(map[string]any)) {
	switch tree := tree.(type) {
	case []any:
		for _, t := range tree {
			eachNode(t, visit)
		}
	case map[string]any:
		visit(tree)
		for _, t := range tree {
			eachNode(t, visit)
		}
	}
}
