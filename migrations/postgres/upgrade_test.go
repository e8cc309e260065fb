package postgres

import (
	"context"
	"database/sql"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sqllock/toolkit/internal/testdb"
	"github.com/sqllock/toolkit/migrations/internal/lockschema"
)

// ofVersion1 is every table of version 1, and what writes its one row.
var ofVersion1 = map[string]string{
	"sqllock_meta":      "UPDATE sqllock_meta SET token_floor = 41",
	"sqllock_sessions":  "INSERT INTO sqllock_sessions VALUES (7, 'me', 3, now(), now())",
	"sqllock_resources": "INSERT INTO sqllock_resources (namespace, name, token, used_at) VALUES ('', 'n', 42, now())",
	"sqllock_holders":   "INSERT INTO sqllock_holders VALUES (1, 42, 'x', 1, 7, '{}', now(), NULL)",
	"sqllock_waiters":   "INSERT INTO sqllock_waiters (resource, session, mode, permits, since) VALUES (1, 7, 's', 1, now())",
}

func TestUpgradeLeavesTheTablesOfVersion1AsTheyAre(t *testing.T) {
	t.Parallel()
	for what, install := range map[string]func(*testing.T, string){
		"by Up of the release": func(t *testing.T, dsn string) {
			require.NoError(t, newOptions(nil).lockSchema(release(t, 1)).Up(t.Context(), open(t, dsn)))
		},
		"by SQL of the release": func(t *testing.T, dsn string) {
			exec(t, open(t, dsn), lockschema.Script(comment, release(t, 1)))
		},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			dsn := testdb.Postgres(t)
			install(t, dsn)
			db := open(t, dsn)
			before := make(map[string][]string, len(ofVersion1))
			for table, write := range ofVersion1 {
				exec(t, db, write)
				before[table] = query(t, db, "SELECT concat_ws(' ', xmin, ctid, t) FROM "+table+" t")
				require.Len(t, before[table], 1)
			}
			description := describe(t, db, "public")

			require.NoError(t, Up(t.Context(), db))

			version, err := Version(t.Context(), db)
			require.NoError(t, err)
			assert.EqualValues(t, Latest, version)
			for table, rows := range before {
				assert.Equal(t, rows, query(t, db, "SELECT concat_ws(' ', xmin, ctid, t) FROM "+table+" t"))
			}
			assert.Subset(t, describe(t, db, "public"), description[:len(description)-1], "all but the version")
			require.NoError(t, Down(t.Context(), db))
			assert.Empty(t, tables(t, db, "public"))
		})
	}
}

func TestUpgradedTablesAreTheSameAsNewOnes(t *testing.T) {
	t.Parallel()
	upgraded := open(t, testdb.Postgres(t))
	for version := 1; version < Latest; version++ {
		require.NoError(t, newOptions(nil).lockSchema(release(t, version)).Up(t.Context(), upgraded))
	}
	require.NoError(t, Up(t.Context(), upgraded))
	installed := open(t, testdb.Postgres(t))
	require.NoError(t, Up(t.Context(), installed))

	assert.Equal(t, describe(t, installed, "public"), describe(t, upgraded, "public"))
}

func TestUpgradeWaitsForNobodyWhoUsesTheTablesOfVersion1(t *testing.T) {
	t.Parallel()
	db := open(t, testdb.Postgres(t))
	require.NoError(t, newOptions(nil).lockSchema(release(t, 1)).Up(t.Context(), db))
	user := conn(t, db)
	exec(t, user, "BEGIN")
	for table := range ofVersion1 {
		exec(t, user, "LOCK TABLE "+table) // not even readers get by
	}
	reader := conn(t, db)
	exec(t, reader, "BEGIN ISOLATION LEVEL REPEATABLE READ", "SELECT FROM sqllock_schema_version")

	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	require.NoError(t, Up(ctx, db))

	exec(t, reader, "COMMIT")
	exec(t, user, "COMMIT")
}

func TestProgramsOfVersion1GoOnWithVersion2(t *testing.T) {
	t.Parallel()
	db := open(t, testdb.Postgres(t))
	require.NoError(t, Up(t.Context(), db))
	state := describe(t, db, "public")
	old := newOptions(nil).lockSchema(release(t, 1))

	require.NoError(t, old.Up(t.Context(), db))
	require.ErrorContains(t, old.Down(t.Context(), db), "newer than this program")

	assert.Equal(t, state, describe(t, db, "public"))
	assert.Equal(t, []string{"1"}, query(t, db, "SELECT oldest_reader::text FROM sqllock_meta"))
}

func TestDownFileRemovesWhatItsUpFileHasAdded(t *testing.T) {
	t.Parallel()
	db := open(t, testdb.Postgres(t))
	for version := 1; version < Latest; version++ {
		require.NoError(t, newOptions(nil).lockSchema(release(t, version)).Up(t.Context(), db))
		state := describe(t, db, "public")

		exec(t, db, file(t, version+1, "up"))
		assert.NotEqual(t, state, describe(t, db, "public"))
		exec(t, db, file(t, version+1, "down"))

		assert.Equal(t, state, describe(t, db, "public"))
	}
}

func TestTokensOfSessionLocksRiseAcrossSessions(t *testing.T) {
	t.Parallel()
	db := open(t, testdb.Postgres(t))
	require.NoError(t, Up(t.Context(), db))
	a, b := conn(t, db), conn(t, db)
	var last int64
	for range 3 {
		for _, session := range []*sql.Conn{a, b} {
			var token int64
			require.NoError(t, session.QueryRowContext(t.Context(), "SELECT nextval('sqllock_token')").Scan(&token))
			assert.Greater(t, token, last)
			last = token
		}
	}
}
