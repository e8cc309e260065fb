package main

import (
	"context"
	"strconv"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/sqllock/toolkit/internal/testdb"
	migrations "github.com/sqllock/toolkit/migrations/postgres"
)

// postgresSettings undo what makes the servers of tests faster.
var postgresSettings = []string{
	"fsync=on", "synchronous_commit=on", "full_page_writes=on", "max_connections=" + strconv.Itoa(maxConnections),
	"shared_preload_libraries=pg_stat_statements",
}

func startPostgres(ctx context.Context, l *lab) (*server, error) {
	var dsn string
	if err := inBed(l, func(b *bed) { dsn = testdb.StartPostgres(b, postgresSettings...).DSN() }); err != nil {
		return nil, err
	}
	pool, err := pgxpool.New(ctx, dsn)
	if err != nil {
		return nil, err
	}
	l.cleanup(func() error { pool.Close(); return nil })
	db := stdlib.OpenDBFromPool(pool)
	defer db.Close()
	if err := migrations.Up(ctx, db); err != nil {
		return nil, err
	}
	if _, err := pool.Exec(ctx, "CREATE EXTENSION pg_stat_statements; "+text("postgres_tables")); err != nil {
		return nil, err
	}
	s := &server{
		address: dsn, port: int(pool.Config().ConnConfig.Port),
		durability: "is on disk: fsync and synchronous_commit on",
		statements: func(ctx context.Context) (n int64, err error) {
			return n, pool.QueryRow(ctx, text("postgres_statements")).Scan(&n)
		},
		snapshots: func(ctx context.Context) (n int64, err error) {
			return n, pool.QueryRow(ctx, text("postgres_snapshots")).Scan(&n)
		},
	}
	// To count statements costs something in each of them: it is off in all measures that do not need it.
	s.counting = func(ctx context.Context, on bool) error {
		track := "none"
		if on {
			track = "top"
		}
		if _, err := pool.Exec(ctx, "ALTER SYSTEM SET pg_stat_statements.track = "+track); err != nil {
			return err
		}
		_, err := pool.Exec(ctx, "SELECT pg_reload_conf()")
		return err
	}
	if err := s.counting(ctx, false); err != nil {
		return nil, err
	}
	return s, pool.QueryRow(ctx, "SELECT 'PostgreSQL ' || split_part(current_setting('server_version'), ' ', 1)").Scan(&s.version)
}
