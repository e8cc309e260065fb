// Semaphore has six workers call a service that must not be called more than twice at a time, by all processes together. Start it in as
// many terminals as you like.
//
//	$ go run ./examples/semaphore
//	worker 1 has called, beside 0 others
//	worker 4 has called, beside 1 others
//	…
//	6 calls, at most 2 at a time
//
// With leases, AtLeast(time.Second) beside Permits(2) would make that at most two calls a second.
//
// The session locks of MySQL know no permits: there it needs -backend table.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sqllock/toolkit/examples/internal/backend"
	"github.com/sqllock/toolkit/sqllock"
)

const (
	workers = 6
	permits = 2 // everybody who shares the semaphore has to say the same
)

func main() {
	log.SetFlags(0)
	flag.Parse()
	ctx := context.Background()
	b, err := backend.Open(ctx, backend.Needs{})
	if err != nil {
		log.Fatal(err)
	}
	var s service
	failed := make([]error, workers)
	var all sync.WaitGroup
	for i := range workers {
		all.Go(func() { failed[i] = work(ctx, b, &s, i+1) })
	}
	all.Wait()
	if err := errors.Join(failed...); err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%d calls, at most %d at a time\n", workers, s.most.Load())
}

// work is one worker. Its Client is its own, so it is kept out by the others as by workers in other processes.
func work(ctx context.Context, b *backend.Backend, s *service, number int) error {
	locks := sqllock.New(b, b.Options...)
	defer func() { _ = locks.Close(ctx) }()
	return locks.Do(ctx, "example-service", func(context.Context) error {
		fmt.Printf("worker %d has called, beside %d others\n", number, s.call())
		return nil
	}, sqllock.Permits(permits))
}

// service is what must not be called too often. It counts those who call at the same time.
type service struct{ callers, most atomic.Int64 }

func (s *service) call() (others int64) {
	now := s.callers.Add(1)
	defer s.callers.Add(-1)
	for most := s.most.Load(); now > most && !s.most.CompareAndSwap(most, now); most = s.most.Load() {
	}
	time.Sleep(50 * time.Millisecond)
	return now - 1
}
