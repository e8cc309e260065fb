//go:build linux

package testdb

import (
	"net/url"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestPgBouncerGivesEachTransactionAnotherBackend(t *testing.T) {
	t.Parallel()
	client := bounced(t)

	assert.NotEqual(t, backend(t, client), backend(t, client))
}

func TestPgBouncerInSessionModeKeepsTheBackend(t *testing.T) {
	t.Parallel()
	client := bounced(t, "pool_mode=session")
	first := backend(t, client)

	for range 4 {
		assert.Equal(t, first, backend(t, client))
	}
}

func TestPgBouncerInStatementModeHasNoTransactions(t *testing.T) {
	t.Parallel()
	client := connectSimply(t, PgBouncer(t, Postgres(t), "pool_mode=statement"))

	_, err := client.Begin(t.Context())

	require.ErrorContains(t, err, "transaction blocks not allowed in statement pooling mode")
}

func TestPgBouncerWithAPoolOfOneGivesAllClientsTheSameBackend(t *testing.T) {
	t.Parallel()
	through := PgBouncer(t, Postgres(t), "default_pool_size=1")

	assert.Equal(t, backend(t, connectSimply(t, through)), backend(t, connectSimply(t, through)))
}

func TestPgBouncerTakesTheLastOfSeveralSettings(t *testing.T) {
	t.Parallel()
	client := connectSimply(t, PgBouncer(t, Postgres(t), "pool_mode=statement", "pool_mode=session"))

	tx, err := client.Begin(t.Context())

	require.NoError(t, err)
	require.NoError(t, tx.Rollback(t.Context()))
}

func TestPgBouncerThatCannotStartShowsItsLog(t *testing.T) {
	t.Parallel()
	server, err := url.Parse(Postgres(t))
	require.NoError(t, err)
	dir, err := newServerDir("pgbouncer")
	require.NoError(t, err)
	b := &pgBouncer{daemon{name: "PgBouncer", dir: dir}}
	t.Cleanup(func() { assert.NoError(t, b.remove()) })
	program, err := pgBouncerProgram()
	require.NoError(t, err)

	err = b.start(program, server, []string{"no_such_setting=1"})

	require.ErrorContains(t, err, "no_such_setting")
}

// bounced returns a client of a PgBouncer that has two backends to choose from,
// since two transactions have been under way at once.
func bounced(t *testing.T, settings ...string) *pgx.Conn {
	t.Helper()
	through := PgBouncer(t, Postgres(t), settings...)
	one, two := connectSimply(t, through), connectSimply(t, through)
	for _, client := range []*pgx.Conn{one, two} {
		tx, err := client.Begin(t.Context())
		require.NoError(t, err)
		defer func() { require.NoError(t, tx.Rollback(t.Context())) }()
	}
	return one
}

func backend(t *testing.T, client *pgx.Conn) (pid string) {
	t.Helper()
	require.NoError(t, client.QueryRow(t.Context(), "SELECT pg_backend_pid()::text").Scan(&pid))
	return pid
}

// connectSimply prepares no statements, which would need a session.
func connectSimply(t *testing.T, dsn string) *pgx.Conn {
	t.Helper()
	return connect(t.Context(), t, dsn+"&default_query_exec_mode=simple_protocol")
}
