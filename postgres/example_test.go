package postgres_test

import (
	"context"
	"log"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/sqllock/toolkit/postgres"
	"github.com/sqllock/toolkit/sqllock"
)

func ExampleAdvisory() {
	ctx := context.Background()
	pool, err := pgxpool.New(ctx, "postgres://localhost/app")
	if err != nil {
		log.Fatal(err)
	}
	locks := sqllock.New(postgres.Advisory(pool))
	defer func() { _ = locks.Close(ctx) }()
	err = locks.Do(ctx, "nightly-report", func(ctx context.Context) error {
		return nil // write the report; ctx is cancelled if the lock is lost
	})
	if err != nil {
		log.Fatal(err)
	}
}

func ExampleTable() {
	ctx := context.Background()
	pool, err := pgxpool.New(ctx, "postgres://localhost/app")
	if err != nil {
		log.Fatal(err)
	}
	locks := sqllock.New(postgres.Table(pool), sqllock.TTL(30*time.Second))
	defer func() { _ = locks.Close(ctx) }()
	lock, err := locks.Acquire(ctx, "cache-warmer", sqllock.AtLeast(time.Minute))
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = lock.Release(ctx) }()
}

// What a guarded transaction writes is committed while nobody else holds the lock, or not at all.
func ExampleAdvisoryBackend_Guard() {
	ctx := context.Background()
	pool, err := pgxpool.New(ctx, "postgres://localhost/app")
	if err != nil {
		log.Fatal(err)
	}
	advisory := postgres.Advisory(pool)
	locks := sqllock.New(advisory)
	defer func() { _ = locks.Close(ctx) }()
	lock, err := locks.Acquire(ctx, "ledger")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = lock.Release(ctx) }()
	err = pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		if err := advisory.Guard(ctx, tx, lock); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, "UPDATE accounts SET balance = balance - 10 WHERE id = 1")
		return err
	})
	if err != nil {
		log.Fatal(err)
	}
}

// One name, one transaction: the lock is acquired before the transaction takes its snapshot, and released after its commit.
func ExampleAdvisoryBackend_WithTx() {
	ctx := context.Background()
	pool, err := pgxpool.New(ctx, "postgres://localhost/app")
	if err != nil {
		log.Fatal(err)
	}
	advisory := postgres.Advisory(pool)
	defer func() { _ = advisory.Close(ctx) }()
	err = advisory.WithTxOptions(ctx, "invoice-numbers", pgx.TxOptions{IsoLevel: pgx.Serializable}, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, "INSERT INTO invoices (number) SELECT coalesce(max(number), 0) + 1 FROM invoices")
		return err
	})
	if err != nil {
		log.Fatal(err)
	}
}

// A lock of the caller's own transaction, gone with its commit or rollback.
func ExampleAdvisoryBackend_TryLockTx() {
	ctx := context.Background()
	pool, err := pgxpool.New(ctx, "postgres://localhost/app")
	if err != nil {
		log.Fatal(err)
	}
	advisory := postgres.Advisory(pool)
	err = pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		if err := advisory.TryLockTx(ctx, tx, "import"); err != nil {
			return err // matches sqllock.ErrNotAcquired if somebody else imports
		}
		_, err := tx.Exec(ctx, "DELETE FROM staging")
		return err
	})
	if err != nil {
		log.Fatal(err)
	}
}
