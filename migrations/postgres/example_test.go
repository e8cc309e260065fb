package postgres_test

import (
	"context"
	"database/sql"
	"log"

	_ "github.com/jackc/pgx/v5/stdlib"

	"github.com/sqllock/toolkit/migrations/postgres"
)

func Example() {
	db, err := sql.Open("pgx", "postgres://app@localhost/app")
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()

	// All replicas may do this when they start: one installs the tables, the others wait until it has.
	if err := postgres.Up(context.Background(), db, postgres.Schema("locks")); err != nil {
		log.Fatal(err)
	}
}
