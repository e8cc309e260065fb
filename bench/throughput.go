package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// The largest pool of those who take a connection for each lock: more than that, few databases are given.
const poolSize = 64

func throughput(goroutines int) measure {
	return measure{
		name: fmt.Sprintf("throughput-%d", goroutines), title: fmt.Sprintf("Throughput of %d goroutines", goroutines),
		how: fmt.Sprintf("%d goroutines, each of which takes and releases a lock of its own, in one process. Pools have %d connections, of which that many were used. "+
			"The ratio is with the floor of the same server, through such a pool.", goroutines, min(goroutines, poolSize)),
		columns: []column{{name: "acquire + release", unit: perSecond, chart: true}, {name: "connections", unit: pieces}},
		takes:   func(contestant) bool { return true },
		against: theFloor,
		play: func(ctx context.Context, l *lab, s *server, c contestant) (sample, error) {
			return playThroughput(ctx, l, s, c, goroutines)
		},
	}
}

func playThroughput(ctx context.Context, l *lab, s *server, c contestant, goroutines int) (yield sample, err error) {
	before, err := s.connections()
	if err != nil {
		return nil, err
	}
	locks, err := c.open(ctx, s.address, options{TTL: defaultTTL, Conns: min(goroutines, poolSize)})
	if err != nil {
		return nil, err
	}
	defer closing(locks, &err)
	if _, err := cyclesOfAll(ctx, locks, goroutines, l.slice/5); err != nil {
		return nil, err
	}
	rate, err := cyclesOfAll(ctx, locks, goroutines, l.slice)
	if err != nil {
		return nil, err
	}
	after, err := s.connections()
	return sample{"acquire + release": {rate}, "connections": {after - before}}, err
}

// cyclesOfAll is how many cycles all goroutines do in a second, each at least one.
func cyclesOfAll(ctx context.Context, locks locker, goroutines int, d time.Duration) (perSecond float64, err error) {
	var cycles atomic.Int64
	var running sync.WaitGroup
	errs := make([]error, goroutines)
	start := time.Now()
	for i := range goroutines {
		running.Go(func() {
			errs[i] = cyclesFor(ctx, locks, fmt.Sprintf("bench-%d", i), d, func(time.Duration) { cycles.Add(1) })
		})
	}
	running.Wait()
	return float64(cycles.Load()) / time.Since(start).Seconds(), first(errs)
}

// first is one of many errors that are the same, with their number.
func first(errs []error) error {
	var one error
	n := 0
	for _, err := range errs {
		if err != nil {
			n++
			one = err
		}
	}
	if n > 1 {
		return fmt.Errorf("%d times: %w", n, one)
	}
	return one
}

// closing ends what a slice has used, and does not hide why that has failed. Some pools wait for ever for what was not given back.
func closing(c interface{ Close() error }, err *error) {
	closed := make(chan error, 1)
	go func() { closed <- c.Close() }()
	select {
	case failed := <-closed:
		*err = errors.Join(*err, failed)
	case <-time.After(30 * time.Second):
		*err = errors.Join(*err, errors.New("it has not closed after 30 seconds"))
	}
}
