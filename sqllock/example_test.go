package sqllock_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"time"

	"github.com/sqllock/toolkit/sqlite"
	"github.com/sqllock/toolkit/sqllock"
)

// exampleFile is a file for one example.
func exampleFile() (path string, remove func()) {
	dir, err := os.MkdirTemp("", "sqllock-example")
	if err != nil {
		log.Fatal(err)
	}
	return filepath.Join(dir, "locks.db"), func() { _ = os.RemoveAll(dir) }
}

func must[T any](v T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return v
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func ExampleClient_Do() {
	path, remove := exampleFile()
	defer remove()
	ctx := context.Background()
	locks := sqllock.New(sqlite.Table(path))
	defer func() { check(locks.Close(ctx)) }()

	err := locks.Do(ctx, "nightly-report", func(ctx context.Context) error {
		fmt.Println("one process at a time")
		return ctx.Err() // cancelled if the lock is lost
	})
	fmt.Println(err)
	// Output:
	// one process at a time
	// <nil>
}

// Every process calls Work; one at a time works.
func ExampleClient_Work() {
	path, remove := exampleFile()
	defer remove()
	ctx := context.Background()
	locks := sqllock.New(sqlite.Table(path))
	defer func() { check(locks.Close(ctx)) }()

	runs := 0
	err := locks.Work(ctx, "outbox", func(ctx context.Context) error {
		runs++
		fmt.Println("run", runs)
		if runs == 1 {
			return errors.New("the mail server is away") // after a pause it is run again, here or elsewhere
		}
		return nil // done; most go on until ctx ends
	})
	fmt.Println(err)
	// Output:
	// run 1
	// run 2
	// <nil>
}

func ExampleClient_TryAcquire() {
	path, remove := exampleFile()
	defer remove()
	ctx := context.Background()
	here := sqllock.New(sqlite.Table(path), sqllock.Owner("here"))
	defer func() { check(here.Close(ctx)) }()
	there := sqllock.New(sqlite.Table(path), sqllock.Owner("there"))
	defer func() { check(there.Close(ctx)) }()

	lock := must(here.TryAcquire(ctx, "job"))
	_, err := there.TryAcquire(ctx, "job")
	var held *sqllock.HeldError
	fmt.Println(errors.Is(err, sqllock.ErrNotAcquired), errors.As(err, &held) && held.Owner == "here")

	check(lock.Release(ctx))
	next := must(there.TryAcquire(ctx, "job"))
	fmt.Println("tokens grow:", next.Token() > lock.Token())
	check(next.Release(ctx))
	// Output:
	// true true
	// tokens grow: true
}

func ExampleShared() {
	path, remove := exampleFile()
	defer remove()
	ctx := context.Background()
	locks := sqllock.New(sqlite.Table(path))
	defer func() { check(locks.Close(ctx)) }()

	one := must(locks.Acquire(ctx, "catalog", sqllock.Shared()))
	two := must(locks.Acquire(ctx, "catalog", sqllock.Shared()))
	_, err := locks.TryAcquire(ctx, "catalog")
	fmt.Println("a writer beside two readers:", errors.Is(err, sqllock.ErrNotAcquired))
	check(errors.Join(one.Release(ctx), two.Release(ctx)))
	// Output:
	// a writer beside two readers: true
}

func ExamplePermits() {
	path, remove := exampleFile()
	defer remove()
	ctx := context.Background()
	locks := sqllock.New(sqlite.Table(path))
	defer func() { check(locks.Close(ctx)) }()

	for range 2 {
		permit := must(locks.Acquire(ctx, "api-calls", sqllock.Permits(2)))
		defer func() { check(permit.Release(ctx)) }()
	}
	_, err := locks.Acquire(ctx, "api-calls", sqllock.Permits(2), sqllock.Wait(10*time.Millisecond))
	fmt.Println("a third of two:", errors.Is(err, sqllock.ErrNotAcquired))
	// Output:
	// a third of two: true
}

func ExampleAtLeast() {
	path, remove := exampleFile()
	defer remove()
	ctx := context.Background()
	locks := sqllock.New(sqlite.Table(path))
	defer func() { check(locks.Close(ctx)) }()

	// The clocks of machines that run this at midnight may disagree by minutes: it runs on one of them.
	midnight := func() error {
		return locks.Do(ctx, "backup", func(context.Context) error {
			fmt.Println("backing up")
			return nil
		}, sqllock.Wait(0), sqllock.AtLeast(time.Hour))
	}
	fmt.Println(midnight())
	fmt.Println(errors.Is(midnight(), sqllock.ErrNotAcquired))
	// Output:
	// backing up
	// <nil>
	// true
}

func ExampleClient_AcquireAll() {
	path, remove := exampleFile()
	defer remove()
	ctx := context.Background()
	locks := sqllock.New(sqlite.Table(path))
	defer func() { check(locks.Close(ctx)) }()

	set := must(locks.AcquireAll(ctx, []string{"account/7", "account/3", "account/7"}))
	fmt.Println(set.Names())
	_, err := locks.AcquireAll(ctx, []string{"account/2", "account/3"}, sqllock.Wait(0))
	fmt.Println("all or nothing:", errors.Is(err, sqllock.ErrNotAcquired))
	check(set.Release(ctx))

	set = must(locks.AcquireAll(ctx, []string{"account/2", "account/3"}, sqllock.Wait(0)))
	check(set.Release(ctx))
	// Output:
	// [account/3 account/7]
	// all or nothing: true
}

func ExampleLock_Err() {
	path, remove := exampleFile()
	defer remove()
	ctx := context.Background()
	locks := sqllock.New(sqlite.Table(path))
	defer func() { check(locks.Close(ctx)) }()

	lock := must(locks.Acquire(ctx, "leader"))
	check(locks.ForceRelease(ctx, "leader")) // as an administrator would, from anywhere
	<-lock.Done()
	fmt.Println(lock.Err())
	fmt.Println(errors.Is(lock.Release(ctx), sqllock.ErrLost))
	// Output:
	// sqllock: lock "leader" lost: released by force
	// true
}

// What is written under a Guard commits while the lock is held, or not at all.
func Example_guard() {
	path, remove := exampleFile()
	defer remove()
	ctx := context.Background()
	table := sqlite.Table(path) // the application's own file
	locks := sqllock.New(table)
	defer func() { check(locks.Close(ctx)) }()
	lock := must(locks.Acquire(ctx, "accounts"))

	db := must(sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(5000)"))
	defer func() { check(db.Close()) }()
	must(db.ExecContext(ctx, "CREATE TABLE accounts (balance INTEGER)"))

	deposit := func() error {
		tx := must(db.BeginTx(ctx, nil))
		defer func() { _ = tx.Rollback() }() // does nothing after a commit
		if err := table.Guard(ctx, tx, lock); err != nil {
			return err
		}
		must(tx.ExecContext(ctx, "INSERT INTO accounts VALUES (100)"))
		return tx.Commit()
	}
	fmt.Println(deposit())
	check(locks.ForceRelease(ctx, "accounts"))
	fmt.Println(errors.Is(deposit(), sqllock.ErrLost))
	// Output:
	// <nil>
	// true
}
