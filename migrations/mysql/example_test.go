package mysql_test

import (
	"context"
	"database/sql"
	"log"

	_ "github.com/go-sql-driver/mysql"

	"github.com/sqllock/toolkit/migrations/mysql"
)

func Example() {
	db, err := sql.Open("mysql", "app:secret@tcp(db.example:3306)/app")
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()

	// All replicas may do this when they start: one installs the tables, the others wait until it has.
	if err := mysql.Up(context.Background(), db, mysql.Database("locks")); err != nil {
		log.Fatal(err)
	}
}
