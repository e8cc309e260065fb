// Cron is a job that cron starts on several machines, so that it does not depend on one of them, and that is done once. The clocks of machines
// differ, so one may start when another has finished; AtLeast keeps the lock for the rest of the period although it was released.
//
//	$ for machine in 1 2 3; do go run ./examples/cron & done; wait
//	writes the report
//	leaves the report to somebody else
//	leaves the report to somebody else
//
// The period has to be a little shorter than the time between two runs: who is early by a second would find the job done, and skip it.
//
// A lock that outlives its holder is a lease. On servers that needs -backend table.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"time"

	"github.com/sqllock/toolkit/examples/internal/backend"
	"github.com/sqllock/toolkit/sqllock"
)

var period = flag.Duration("period", 59*time.Second, "how often the job may be done at most")

func main() {
	log.SetFlags(0)
	flag.Parse()
	ctx := context.Background()
	b, err := backend.Open(ctx, backend.Needs{})
	if err != nil {
		log.Fatal(err)
	}
	locks := sqllock.New(b, b.Options...)
	defer func() { _ = locks.Close(ctx) }()

	err = locks.Do(ctx, "example-report", report,
		sqllock.Wait(0),          // if somebody else does it there is nothing to wait for
		sqllock.AtLeast(*period), // counted from now by the clock of the database, the only one that they have in common
	)
	switch {
	case errors.Is(err, sqllock.ErrNotAcquired):
		fmt.Println("leaves the report to somebody else")
	case errors.Is(err, sqllock.ErrUnsupported):
		log.Fatalf("%v: say -backend table", err)
	case err != nil:
		log.Fatal(err) // for cron to tell: whether the report was written is not known
	}
}

func report(context.Context) error {
	fmt.Println("writes the report")
	return nil
}
