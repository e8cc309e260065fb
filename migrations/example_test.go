package migrations_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"testing/fstest"

	"github.com/golang-migrate/migrate/v4"
	"github.com/golang-migrate/migrate/v4/database"
	_ "github.com/golang-migrate/migrate/v4/database/sqlite"
	"github.com/golang-migrate/migrate/v4/source/iofs"

	"github.com/sqllock/toolkit/migrations"
	"github.com/sqllock/toolkit/sqlite"
	"github.com/sqllock/toolkit/sqllock"
)

// An application would embed its files.
var files = fstest.MapFS{
	"0001_accounts.up.sql": {Data: []byte("CREATE TABLE accounts (owner text)")},
	"0002_balance.up.sql":  {Data: []byte("ALTER TABLE accounts ADD balance bigint")},
}

// exampleLocks are locks, and the URL of an application's database.
func exampleLocks() (locks *sqllock.Client, databaseURL string, remove func()) {
	dir, err := os.MkdirTemp("", "migrations-example")
	if err != nil {
		log.Fatal(err)
	}
	locks = sqllock.New(sqlite.Table(filepath.Join(dir, "locks.db")))
	return locks, "sqlite://" + filepath.Join(dir, "app.db"), func() {
		_ = locks.Close(context.Background())
		_ = os.RemoveAll(dir)
	}
}

// All replicas may do this when they start: one migrates, the others wait until it has.
func ExampleUp() {
	locks, databaseURL, remove := exampleLocks()
	defer remove()
	ctx := context.Background()
	open := func(context.Context) (*migrate.Migrate, error) {
		source, err := iofs.New(files, ".")
		if err != nil {
			return nil, err
		}
		return migrate.NewWithSourceInstance("iofs", source, databaseURL)
	}

	for range 2 {
		err := migrations.Up(ctx, locks, "migrations", open)
		if dirty, ok := errors.AsType[*migrations.DirtyError](err); ok {
			log.Fatalf("somebody has to look at version %d: %v", dirty.Version, err)
		}
		fmt.Println(err)
	}
	// Output:
	// <nil>
	// <nil>
}

// Open is for those who want more of golang-migrate than Up.
func ExampleOpen() {
	locks, databaseURL, remove := exampleLocks()
	defer remove()
	ctx := context.Background()

	driver, err := migrations.Open(ctx, locks, "migrations", func() (database.Driver, error) { return database.Open(databaseURL) })
	if err != nil {
		log.Fatal(err)
	}
	source, err := iofs.New(files, ".")
	if err != nil {
		log.Fatal(errors.Join(err, driver.Close()))
	}
	m, err := migrate.NewWithInstance("iofs", source, "application", driver)
	if err != nil {
		log.Fatal(errors.Join(err, driver.Close()))
	}
	fmt.Println(m.Migrate(1))
	fmt.Println(m.Close()) // releases the lock
	// Output:
	// <nil>
	// <nil> <nil>
}

// Guard is for any tool. Opening the database belongs inside, because tools write when they do.
func ExampleGuard() {
	locks, databaseURL, remove := exampleLocks()
	defer remove()

	err := migrations.Guard(context.Background(), locks, "migrations", func(ctx context.Context) error {
		return migrateWithSomeTool(ctx, databaseURL) // ctx ends with the lock
	})
	fmt.Println(err)
	// Output:
	// migrated
	// <nil>
}

func migrateWithSomeTool(ctx context.Context, _ string) error {
	fmt.Println("migrated")
	return ctx.Err()
}
