// Singletonworker does jobs, in one process at a time however many are started. Start it in two terminals:
//
//	$ go run ./examples/singletonworker -name one        $ go run ./examples/singletonworker -name two
//	one waits                                            two waits
//	one works
//	one has done job 1
//	one has done job 2
//	^C
//	one ends                                             two works
//	                                                     two has done job 3
//
// With -fail 2 a worker fails after every second job; then it pauses, and whoever waits goes on.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/sqllock/toolkit/examples/internal/backend"
	"github.com/sqllock/toolkit/sqllock"
)

var (
	name  = flag.String("name", sqllock.DefaultOwner(), "how this worker calls itself")
	every = flag.Duration("every", time.Second, "time between jobs")
	fail  = flag.Int("fail", 0, "after how many jobs a worker fails; 0: never")
)

func main() {
	log.SetFlags(0)
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	b, err := backend.Open(ctx, backend.Needs{})
	if err != nil {
		log.Fatal(err)
	}
	locks := sqllock.New(b, append(b.Options, sqllock.Owner(*name))...)
	defer func() { _ = locks.Close(ctx) }()

	// Work waits out a database that does not answer. At the beginning that is more likely a mistake in the DSN.
	if err := locks.Ping(ctx); err != nil {
		log.Fatal(err)
	}
	fmt.Println(*name, "waits")
	// It returns when ctx has ended; until then the loop runs, in this process or another one.
	err = locks.Work(ctx, "example-jobs", func(ctx context.Context) error { return work(ctx, b) })
	if ctx.Err() == nil {
		log.Fatal(err)
	}
	fmt.Println(*name, "ends")
}

// work is the loop of which there is one.
func work(ctx context.Context, b *backend.Backend) error {
	fmt.Println(*name, "works")
	if _, err := b.DB.ExecContext(ctx, "CREATE TABLE IF NOT EXISTS example_jobs (id INTEGER PRIMARY KEY)"); err != nil {
		return err
	}
	for done := 0; ; done++ {
		if done == *fail && done > 0 {
			fmt.Println(*name, "fails")
			return errors.New("out of order") // Work pauses, and runs this again when it is our turn
		}
		// Two loops at once would sooner or later take the same number, which the table does not.
		if _, err := b.DB.ExecContext(ctx, "INSERT INTO example_jobs SELECT COALESCE(MAX(id), 0) + 1 FROM example_jobs"); err != nil {
			return err
		}
		var job int
		if err := b.DB.QueryRowContext(ctx, "SELECT MAX(id) FROM example_jobs").Scan(&job); err != nil {
			return err
		}
		fmt.Println(*name, "has done job", job)
		select {
		case <-time.After(*every):
		case <-ctx.Done(): // a signal has come, or the lock is lost: Work knows which
			return context.Cause(ctx)
		}
	}
}
