package leaderelect_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/sqllock/toolkit/leaderelect"
	"github.com/sqllock/toolkit/sqlite"
	"github.com/sqllock/toolkit/sqllock"
)

// exampleFile is a file for one example.
func exampleFile() (path string, remove func()) {
	dir, err := os.MkdirTemp("", "leaderelect-example")
	if err != nil {
		log.Fatal(err)
	}
	return filepath.Join(dir, "locks.db"), func() { _ = os.RemoveAll(dir) }
}

// One process at a time leads. Run campaigns until its context ends, and again after each term.
func ExampleElector_Run() {
	path, remove := exampleFile()
	defer remove()
	ctx, shutDown := context.WithCancel(context.Background())
	defer shutDown()
	locks := sqllock.New(sqlite.Table(path))
	defer func() { _ = locks.Close(ctx) }()

	elector, err := leaderelect.New(locks, "scheduler", leaderelect.Config{
		ID:    "one",
		Value: map[string]string{"address": "10.0.0.7:8080"},
		OnElected: func(ctx context.Context, term leaderelect.Term) error {
			fmt.Println("leads:", term.Valid())
			shutDown() // as a signal would
			<-ctx.Done()
			return nil
		},
		OnDemoted: func(_ leaderelect.Term, reason error) { fmt.Println("led until:", reason) },
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(elector.Run(ctx))
	// Output:
	// leads: true
	// led until: context canceled
	// <nil>
}

// Schedulers that ask an elector before each job, as gocron does, are given it as it is.
func ExampleElector_IsLeader() {
	path, remove := exampleFile()
	defer remove()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	locks := sqllock.New(sqlite.Table(path))
	defer func() { _ = locks.Close(ctx) }()

	elected := make(chan struct{})
	elector, err := leaderelect.New(locks, "scheduler", leaderelect.Config{
		OnElected: func(ctx context.Context, _ leaderelect.Term) error {
			close(elected)
			<-ctx.Done()
			return nil
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	var asks interface{ IsLeader(context.Context) error } = elector
	fmt.Println(errors.Is(asks.IsLeader(ctx), leaderelect.ErrNotLeader))

	ended := make(chan error)
	go func() { ended <- elector.Run(ctx) }()
	<-elected
	fmt.Println(asks.IsLeader(ctx))
	cancel()
	fmt.Println(<-ended)
	// Output:
	// true
	// <nil>
	// <nil>
}

// Followers need not run an election to know who leads.
func ExampleElector_Observe() {
	path, remove := exampleFile()
	defer remove()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	locks := sqllock.New(sqlite.Table(path))
	defer func() { _ = locks.Close(ctx) }()

	leader, err := leaderelect.New(locks, "scheduler", leaderelect.Config{ID: "one", Value: map[string]string{"address": "10.0.0.7:8080"}})
	if err != nil {
		log.Fatal(err)
	}
	ended := make(chan error)
	go func() { ended <- leader.Run(ctx) }()

	follower, err := leaderelect.New(locks, "scheduler", leaderelect.Config{})
	if err != nil {
		log.Fatal(err)
	}
	for l, err := range follower.Observe(ctx) {
		if errors.Is(err, sqllock.ErrNoLeader) {
			continue // not yet
		}
		if err != nil {
			log.Fatal(err) // the database cannot tell
		}
		fmt.Println("forward to", l.ID, "at", l.Value["address"])
		cancel()
	}
	fmt.Println(<-ended)
	// Output:
	// forward to one at 10.0.0.7:8080
	// <nil>
}

// What a leader writes is committed while it leads, or not at all.
func ExampleTerm_Lock() {
	path, remove := exampleFile()
	defer remove()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	table := sqlite.Table(path) // the application's own file
	locks := sqllock.New(table)
	defer func() { _ = locks.Close(ctx) }()
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(5000)")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = db.Close() }()

	elector, err := leaderelect.New(locks, "ledger", leaderelect.Config{
		OnElected: func(ctx context.Context, term leaderelect.Term) error {
			defer cancel()
			tx, err := db.BeginTx(ctx, nil)
			if err != nil {
				return err
			}
			defer func() { _ = tx.Rollback() }() // does nothing after a commit
			if err := table.Guard(ctx, tx, term.Lock()); err != nil {
				return err // somebody else may lead: nothing was written
			}
			if _, err := tx.ExecContext(ctx, "CREATE TABLE ledger (balance INTEGER)"); err != nil {
				return err
			}
			return tx.Commit()
		},
		OnDemoted: func(_ leaderelect.Term, reason error) { fmt.Println(reason) },
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(elector.Run(ctx))
	// Output:
	// context canceled
	// <nil>
}
