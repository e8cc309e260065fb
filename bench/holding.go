package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"
	"sync"
	"time"
)

// hands are so many goroutines that take the locks which are then held.
const hands = 64

func holding(n int) measure {
	return measure{
		name: fmt.Sprintf("holding-%d", n), title: fmt.Sprintf("The cost of holding %d locks", n),
		how: fmt.Sprintf("One process holds %d locks for half of the TTL of leases, which is %v. Statements, commands or messages are those that keep them. Memory is the client's, heap and stacks; "+
			"what a server keeps for each connection is not in it. Servers take at most %d connections.", n, holdTTL(false), maxConnections),
		columns: []column{
			{name: "memory for each", unit: size, chart: true},
			{name: "goroutines for each", unit: ratios},
			{name: "connections", unit: pieces, chart: true},
			{name: "statements", unit: perSecond, chart: true},
			{name: "to take them all", unit: millis},
		},
		rounds: 1,
		takes:  isLock,
		play: func(ctx context.Context, l *lab, s *server, c contestant) (sample, error) {
			return playHolding(ctx, l, s, c, n)
		},
	}
}

func holdTTL(quick bool) time.Duration {
	if quick {
		return shortTTL
	}
	return defaultTTL
}

func playHolding(ctx context.Context, l *lab, s *server, c contestant, n int) (yield sample, err error) {
	counted, err := s.count(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, counted()) }()
	before, err := s.connections()
	if err != nil {
		return nil, err
	}
	ttl := holdTTL(l.quick)
	locks, err := c.open(ctx, s.address, options{TTL: ttl, Conns: n, Locks: n})
	if err != nil {
		return nil, err
	}
	defer closing(locks, &err)
	if err := cycle(ctx, locks, "bench-first"); err != nil {
		return nil, err
	}
	memory, goroutines := footprint()
	unlock := make([]func(context.Context) error, n)
	start := time.Now()
	err = byHands(n, func(i int) (err error) {
		unlock[i], err = locks.Lock(ctx, fmt.Sprintf("held-%d", i))
		return err
	})
	took := time.Since(start)
	defer func() {
		err = errors.Join(err, byHands(n, func(i int) error {
			if unlock[i] == nil {
				return nil
			}
			return unlock[i](ctx)
		}))
	}()
	if err != nil {
		return nil, err
	}
	memoryAfter, goroutinesAfter := footprint()
	after, err := s.connections()
	if err != nil {
		return nil, err
	}
	statements, err := s.rate(ctx, ttl/2)
	return sample{
		"memory for each": {(memoryAfter - memory) / float64(n)}, "goroutines for each": {(goroutinesAfter - goroutines) / float64(n)},
		"connections": {after - before}, "statements": statements, "to take them all": {inMillis(took)},
	}, err
}

// byHands does n things by some goroutines, until one of them fails.
func byHands(n int, do func(i int) error) error {
	var all sync.WaitGroup
	errs := make([]error, hands)
	for hand := range hands {
		all.Go(func() {
			for i := hand; i < n && errs[hand] == nil; i += hands {
				errs[hand] = do(i)
			}
		})
	}
	all.Wait()
	return first(errs)
}

// footprint is what this process uses, in bytes, and how many goroutines. What contestants before have left is collected first, which takes several
// turns: a connection is freed by one, and what it referred to by the next.
func footprint() (memory, goroutines float64) {
	memory = math.Inf(1)
	for range 20 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		now := float64(m.HeapAlloc + m.StackInuse)
		if now > 0.999*memory {
			break
		}
		memory = now
		time.Sleep(20 * time.Millisecond)
	}
	return memory, float64(runtime.NumGoroutine())
}
