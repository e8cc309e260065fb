package postgres_test

import (
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/sqllock/toolkit/internal/testdb"
	"github.com/sqllock/toolkit/postgres"
	"github.com/sqllock/toolkit/sqllock/locktest"
)

func TestAdvisory(t *testing.T) {
	locktest.Run(t, advisory(postgres.WithTokens()))
}

// TestAdvisoryWithoutSchema has nothing installed.
func TestAdvisoryWithoutSchema(t *testing.T) {
	s := advisory(postgres.Namespace("a 'namespace'"))
	s.Fresh = testdb.Postgres
	s.Hang = func(tb testing.TB) (string, func(), func()) {
		server := testdb.StartPostgres(tb)
		return server.DSN(), server.Pause, server.Resume
	}
	locktest.Run(t, s)
}

// advisory is postgres.Advisory as the conformance suite sees it.
func advisory(opts ...postgres.Option) locktest.Subject {
	return subject(pgx.QueryExecModeCacheStatement, func(pool *pgxpool.Pool) backend { return postgres.Advisory(pool, opts...) })
}
