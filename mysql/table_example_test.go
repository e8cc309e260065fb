package mysql_test

import (
	"context"
	"database/sql"
	"log"
	"time"

	driver "github.com/go-sql-driver/mysql"

	"github.com/sqllock/toolkit/mysql"
	"github.com/sqllock/toolkit/sqllock"
)

func ExampleTable() {
	ctx := context.Background()
	cfg, err := driver.ParseDSN("app:secret@tcp(db.example:3306)/app")
	if err != nil {
		log.Fatal(err)
	}
	locks := sqllock.New(mysql.Table(cfg), sqllock.TTL(30*time.Second))
	defer func() { _ = locks.Close(ctx) }()
	lock, err := locks.Acquire(ctx, "cache-warmer", sqllock.AtLeast(time.Minute))
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = lock.Release(ctx) }()
}

// What a guarded transaction writes is committed while nobody else holds the lock, or not at all.
func ExampleTableBackend_Guard() {
	ctx := context.Background()
	cfg, err := driver.ParseDSN("app:secret@tcp(db.example:3306)/app")
	if err != nil {
		log.Fatal(err)
	}
	connector, err := driver.NewConnector(cfg)
	if err != nil {
		log.Fatal(err)
	}
	db := sql.OpenDB(connector)
	defer db.Close()
	table := mysql.Table(cfg)
	locks := sqllock.New(table)
	defer func() { _ = locks.Close(ctx) }()
	lock, err := locks.Acquire(ctx, "ledger")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = lock.Release(ctx) }()
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = tx.Rollback() }()
	if err := table.Guard(ctx, tx, lock); err != nil {
		log.Fatal(err)
	}
	if _, err := tx.ExecContext(ctx, "UPDATE accounts SET balance = balance - 10 WHERE id = 1"); err != nil {
		log.Fatal(err)
	}
	if err := tx.Commit(); err != nil {
		log.Fatal(err)
	}
}

// One name, one transaction: the lock is acquired before the transaction takes its snapshot, and released after its commit.
func ExampleTableBackend_WithTx() {
	ctx := context.Background()
	cfg, err := driver.ParseDSN("app:secret@tcp(db.example:3306)/app")
	if err != nil {
		log.Fatal(err)
	}
	table := mysql.Table(cfg)
	defer func() { _ = table.Close(ctx) }()
	err = table.WithTx(ctx, "invoice-numbers", func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, "INSERT INTO invoices (number) SELECT COALESCE(MAX(number), 0) + 1 FROM invoices")
		return err
	})
	if err != nil {
		log.Fatal(err)
	}
}
