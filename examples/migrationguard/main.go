// Migrationguard starts three replicas of a service at once. Each migrates the database before it serves, as they do after a deployment; the lock
// lets them do so one after the other, so one finds work and the others find it done.
//
//	$ go run ./examples/migrationguard
//	replica 3 migrates from version 0 to 2
//	replica 1 finds version 2
//	replica 2 finds version 2
//
// When it is run again all three find version 2. With golang-migrate or goose there is less to write: see package migrations.
package main

import (
	"context"
	"database/sql"
	"errors"
	"flag"
	"fmt"
	"log"
	"sync"

	"github.com/sqllock/toolkit/examples/internal/backend"
	"github.com/sqllock/toolkit/migrations"
	"github.com/sqllock/toolkit/sqllock"
)

// steps lead from each version to the next. None can be done twice.
var steps = []string{
	"CREATE TABLE example_users (id INTEGER PRIMARY KEY)",
	"ALTER TABLE example_users ADD COLUMN email VARCHAR(255)",
}

func main() {
	log.SetFlags(0)
	flag.Parse()
	ctx := context.Background()
	b, err := backend.Open(ctx, backend.Needs{})
	if err != nil {
		log.Fatal(err)
	}
	failed := make([]error, 3)
	var replicas sync.WaitGroup
	for i := range failed {
		replicas.Go(func() { failed[i] = replica(ctx, b, i+1) })
	}
	replicas.Wait()
	if err := errors.Join(failed...); err != nil {
		log.Fatal(err)
	}
}

// replica is what each process does when it starts. Its Client is its own, so it is locked out by the others as by processes elsewhere.
func replica(ctx context.Context, b *backend.Backend, number int) error {
	locks := sqllock.New(b, b.Options...)
	defer func() { _ = locks.Close(ctx) }()
	// Everything is inside: what version there is may be asked only by who holds the lock.
	return migrations.Guard(ctx, locks, "example-migrations", func(ctx context.Context) error {
		from, err := version(ctx, b.DB)
		if err != nil {
			return err
		}
		if from == len(steps) {
			fmt.Printf("replica %d finds version %d\n", number, from)
			return nil
		}
		fmt.Printf("replica %d migrates from version %d to %d\n", number, from, len(steps))
		for i, step := range steps[from:] {
			// If the lock is lost ctx ends, and no further step begins.
			if _, err := b.DB.ExecContext(ctx, step); err != nil {
				return err
			}
			if _, err := b.DB.ExecContext(ctx, fmt.Sprintf("INSERT INTO example_version VALUES (%d)", from+i+1)); err != nil {
				return err
			}
		}
		return nil
	})
}

// version is how far the database has been migrated.
func version(ctx context.Context, db *sql.DB) (version int, err error) {
	if _, err := db.ExecContext(ctx, "CREATE TABLE IF NOT EXISTS example_version (version INTEGER PRIMARY KEY)"); err != nil {
		return 0, err
	}
	err = db.QueryRowContext(ctx, "SELECT COALESCE(MAX(version), 0) FROM example_version").Scan(&version)
	return version, err
}
