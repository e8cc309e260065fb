package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// grace is for the holder to do, on further connections, what it does with a lock that is held for long.
const grace = 2500 * time.Millisecond

func waiting(n int) measure {
	return measure{
		name: "waiting", title: fmt.Sprintf("The cost of %d goroutines that wait for one name", n),
		how: fmt.Sprintf("%d goroutines of one process wait for a name that another client holds. Connections are those of the process that waits; statements, commands or messages "+
			"those of everybody; snapshots are transactions that keep the server from clearing up, at a moment. Then the holder releases, and for a second each who is granted the lock releases it at once.", n),
		columns: []column{
			{name: "statements", unit: perSecond, chart: true},
			{name: "connections", unit: pieces, chart: true},
			{name: "snapshots", unit: pieces},
			{name: "grants after the release", unit: perSecond},
		},
		rounds: 1,
		takes:  isLock,
		play: func(ctx context.Context, l *lab, s *server, c contestant) (sample, error) {
			return playWaiting(ctx, l, s, c, n)
		},
	}
}

func playWaiting(ctx context.Context, l *lab, s *server, c contestant, n int) (yield sample, err error) {
	counted, err := s.count(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, counted()) }()
	holder, err := c.open(ctx, s.address, options{TTL: defaultTTL, Conns: 2})
	if err != nil {
		return nil, err
	}
	defer closing(holder, &err)
	unlock, err := holder.Lock(ctx, contended)
	if err != nil {
		return nil, err
	}
	release := sync.OnceValue(func() error { return unlock(context.WithoutCancel(ctx)) })
	defer func() { err = errors.Join(err, release()) }()
	if err := sleep(ctx, grace); err != nil {
		return nil, err
	}
	before, err := s.connections()
	if err != nil {
		return nil, err
	}
	locks, err := c.open(ctx, s.address, options{TTL: defaultTTL, Conns: n})
	if err != nil {
		return nil, err
	}
	crowd := newCrowd(ctx, locks, n)
	// Who waits may have to be called off by the end of the connection.
	defer func() { err = errors.Join(err, crowd.disperse()) }()
	yield = make(sample)
	if err := s.settled(ctx); err != nil {
		return nil, err
	}
	if yield["statements"], err = s.rate(ctx, 3*l.slice); err != nil {
		return nil, err
	}
	if yield["snapshots"], err = s.pinned(ctx); err != nil {
		return nil, err
	}
	after, err := s.connections()
	if err != nil {
		return nil, err
	}
	yield["connections"] = []float64{after - before}
	if err := crowd.err(); err != nil {
		return nil, err
	}
	crowd.leave()
	if err := release(); err != nil {
		return nil, err
	}
	start := time.Now()
	select {
	case <-time.After(time.Second):
	case <-crowd.gone:
	}
	yield["grants after the release"] = []float64{float64(crowd.granted.Load()) / time.Since(start).Seconds()}
	return yield, crowd.err()
}

// A crowd waits for one name. Whoever has it finds out whether anybody else has.
type crowd struct {
	locks   locker
	cancel  context.CancelFunc
	gone    chan struct{} // closed when nobody waits
	granted atomic.Int64
	inside  atomic.Int64

	mu   sync.Mutex
	errs []error
}

// newCrowd begins with the lock being held by somebody, who will leave.
func newCrowd(ctx context.Context, locks locker, n int) *crowd {
	ctx, cancel := context.WithCancel(ctx)
	c := &crowd{locks: locks, cancel: cancel, gone: make(chan struct{})}
	c.inside.Add(1)
	var all sync.WaitGroup
	for range n {
		all.Go(func() {
			if err := c.pass(ctx); err != nil && ctx.Err() == nil {
				c.mu.Lock()
				defer c.mu.Unlock()
				c.errs = append(c.errs, err)
			}
		})
	}
	go func() {
		all.Wait()
		close(c.gone)
	}()
	return c
}

func (c *crowd) pass(ctx context.Context) error {
	unlock, err := c.locks.Lock(ctx, contended)
	if err != nil {
		return err
	}
	n := c.inside.Add(1)
	c.granted.Add(1)
	c.leave()
	if n > 1 {
		return errors.Join(fmt.Errorf("TWO HOLDERS: %d at once", n), unlock(ctx))
	}
	return unlock(ctx)
}

// leave comes before the release.
func (c *crowd) leave() { c.inside.Add(-1) }

func (c *crowd) err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return first(c.errs)
}

// disperse ends the waiting, and closes what they wait with: some cannot be ended in another way. Before that all have a while to be through, because
// whoever is cancelled in the middle of a statement may stay in the server's queue, in the way of the next contestant.
func (c *crowd) disperse() error {
	select {
	case <-c.gone:
	case <-time.After(4 * time.Second):
	}
	c.cancel()
	select {
	case <-c.gone:
		return c.locks.Close()
	case <-time.After(2 * time.Second):
	}
	err := c.locks.Close()
	select {
	case <-c.gone:
		return err
	case <-time.After(20 * time.Second):
		return errors.Join(err, errors.New("some still wait 20 seconds after everything was closed"))
	}
}
