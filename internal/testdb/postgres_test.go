//go:build linux

package testdb

import (
	"context"
	"errors"
	"net/url"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestEachTestHasADatabaseOfItsOwn(t *testing.T) {
	t.Parallel()
	one, two := Postgres(t), Postgres(t)
	require.NotEqual(t, one, two)

	execute(t, one, "CREATE TABLE mine (id int)")
	execute(t, two, "CREATE TABLE mine (id int)")

	u, err := url.Parse(one)
	require.NoError(t, err)
	assert.Equal(t, u.Path, "/"+queryString(t, one, "SELECT current_database()"))
}

func TestParallelTestsShareOneServer(t *testing.T) {
	t.Parallel()
	server := queryString(t, Postgres(t), "SELECT pg_postmaster_start_time()::text")
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() {
			assert.Equal(t, server, queryString(t, Postgres(t), "SELECT pg_postmaster_start_time()::text"))
		})
	}
	wg.Wait()
}

func TestDatabaseIsDroppedAlthoughSomebodyIsConnected(t *testing.T) {
	t.Parallel()
	skipIfShort(t) // this test, and not only the one inside
	var database string
	var conn *pgx.Conn
	t.Run("user", func(t *testing.T) {
		database = Postgres(t)
		conn = connect(t.Context(), t, database)
	})

	require.Error(t, conn.Ping(t.Context()))
	_, err := pgx.Connect(t.Context(), database)
	require.ErrorContains(t, err, "does not exist")
}

func TestGivenServerIsUsedAndLeftAsItWas(t *testing.T) {
	t.Parallel()
	server := StartPostgres(t)
	v := startVictim(t, "serve", envPostgres+"="+server.DSN())
	given, err := url.Parse(server.DSN())
	require.NoError(t, err)
	used, err := url.Parse(v.readDatabase())
	require.NoError(t, err)
	assert.Equal(t, given.Host, used.Host)
	assert.NotEqual(t, given.Path, used.Path)

	require.NoError(t, v.wait(), v.output)
	assert.Equal(t, "postgres,template0,template1",
		queryString(t, server.DSN(), "SELECT string_agg(datname, ',' ORDER BY datname COLLATE \"C\") FROM pg_database"))
}

func TestGivenAddressThatIsNoURLFailsWithoutShowingIt(t *testing.T) {
	t.Parallel()
	v := startVictim(t, "serve", envPostgres+"=host=somewhere password=secret")

	require.Error(t, v.wait())
	assert.Contains(t, v.output.String(), "must have the form postgres://")
	assert.NotContains(t, v.output.String(), "secret")
}

func TestWithoutAnyPostgresTheTestFailsAndSaysWhatToDo(t *testing.T) {
	t.Parallel()
	v := startVictim(t, "serve on a bare machine", envPostgres+"=", envPostgresBin+"=", "PATH=", "DOCKER_HOST=unix:///nonexistent")

	require.Error(t, v.wait())
	for _, way := range []string{"install-servers.sh", envPostgres + "=postgres://", envPostgresBin, "container engine", "-short"} {
		assert.Contains(t, v.output.String(), way)
	}
}

func connect(ctx context.Context, tb testing.TB, dsn string) *pgx.Conn {
	tb.Helper()
	conn, err := pgx.Connect(ctx, dsn)
	require.NoError(tb, err)
	tb.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

func execute(tb testing.TB, dsn, sql string) {
	tb.Helper()
	conn := connect(tb.Context(), tb, dsn)
	_, err := conn.Exec(tb.Context(), sql)
	require.NoError(tb, err)
}

func queryString(tb testing.TB, dsn, sql string) string {
	tb.Helper()
	conn := connect(tb.Context(), tb, dsn)
	var s string
	err := conn.QueryRow(tb.Context(), sql).Scan(&s)
	require.NoError(tb, errors.Join(err, conn.Close(tb.Context())))
	return s
}
