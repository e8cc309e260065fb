package locktest

import (
	"context"
	"fmt"
	"runtime"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sqllock/toolkit/sqllock"
)

func closeEndsEverything(a *arena) {
	p, other := a.party("p"), a.party("other")
	held := a.acquire(p, "held")
	ctx, cancel := held.Context(a.ctx)
	defer cancel()
	set, err := p.AcquireAll(a.ctx, []string{"set 1", "set 2"})
	require.NoError(a, err)
	foreign := a.acquire(other, "foreign")
	inDatabase := a.waits(p, "foreign")
	inLine := &waitingContext{Context: a.ctx, waiting: make(chan struct{})}
	inProcess := a.begin(inLine, p, "held")
	a.within(slack, inLine.waiting, "the second waiter stands in line")
	follows := a.waits(other, "held")

	cancelled, cancel := context.WithCancel(a.ctx)
	cancel()
	require.NoError(a, p.Close(cancelled))
	for _, w := range []*pending{inDatabase, inProcess} {
		a.within(slack, w.done, "waiters are ended")
		assert.ErrorIs(a, w.err, sqllock.ErrClosed)
		assert.NotErrorIs(a, w.err, sqllock.ErrNotAcquired)
	}
	a.within(slack, held.Done(), "locks are done")
	a.within(slack, ctx.Done(), "their contexts end")
	a.within(slack, set.Done(), "sets are done")
	assert.ErrorIs(a, context.Cause(ctx), sqllock.ErrClosed)
	assert.ErrorIs(a, held.Err(), sqllock.ErrClosed)
	assert.NotErrorIs(a, held.Err(), sqllock.ErrLost)
	assert.NoError(a, held.Release(a.ctx), "it was released")

	a.release(a.granted(follows))
	for _, name := range []string{"held", "set 1", "set 2"} {
		a.release(a.soon(other, name))
	}
	a.release(foreign)
	a.release(a.soon(other, "foreign"))
	a.eventually(func() bool {
		infos, err := other.Locks(a.ctx)
		require.NoError(a, err)
		return len(infos) == 0
	}, "no waiter of a closed Client is left")

	for what, refused := range map[string]func() error{
		"Acquire":      func() error { _, err := p.Acquire(a.ctx, "n"); return err },
		"TryAcquire":   func() error { _, err := p.TryAcquire(a.ctx, "n"); return err },
		"AcquireAll":   func() error { _, err := p.AcquireAll(a.ctx, []string{"n", "m"}); return err },
		"Do":           func() error { return p.Do(a.ctx, "n", func(context.Context) error { return nil }) },
		"Locks":        func() error { _, err := p.Locks(a.ctx); return err },
		"Leader":       func() error { _, err := p.Leader(a.ctx, "n"); return err },
		"ForceRelease": func() error { return p.ForceRelease(a.ctx, "n") },
		"Ping":         func() error { return p.Ping(a.ctx) },
	} {
		assert.ErrorIs(a, refused(), sqllock.ErrClosed, what)
	}
	assert.NoError(a, p.Close(a.ctx), "a second time")

	never := sqllock.New(other.backend)
	assert.NoError(a, never.Close(a.ctx), "a Client that was never used")
}

// closeLeavesNoGoroutine closes Clients while everything is going on. It runs in a process of its own, where goroutines can be counted.
func closeLeavesNoGoroutine(a *arena) {
	p := a.process("p", 0)
	other := a.party("other")
	blocking := a.acquire(other, "blocked")
	p.must(request{Program: "openAndClose", Count: 5})
	counts := p.must(request{Program: "goroutinesOver"}).Counts
	assert.LessOrEqual(a, counts[1], counts[0], "goroutines before and after")
	a.release(blocking)
	for i := range 8 {
		a.release(a.soon(other, fmt.Sprintf("n%d", i)))
	}
	a.release(a.soon(other, "blocked"))
	infos, err := other.Locks(a.ctx)
	require.NoError(a, err)
	assert.Empty(a, infos)
}

// openAndClose opens Clients, and closes each while some of its goroutines hold, some wait and some are about to.
func openAndClose(h *helper, r request) (reply, error) {
	h.counted = runtime.NumGoroutine()
	for range r.Count {
		c := sqllock.New(h.backend)
		acquired := make(chan struct{}, 8)
		ended := make(chan error, 1)
		go func() {
			ended <- inParallel(8, func(i int) error {
				if i%4 == 0 {
					acquired <- struct{}{}
					_, err := c.Acquire(h.ctx, "blocked")
					return err
				}
				for {
					l, err := c.Acquire(h.ctx, fmt.Sprintf("n%d", i))
					if err != nil {
						return err
					}
					select {
					case acquired <- struct{}{}:
					default:
					}
					if i%4 == 1 {
						<-l.Done()
						return l.Err()
					}
					if err := l.Release(h.ctx); err != nil {
						return err
					}
				}
			})
		}()
		for range 8 {
			<-acquired
		}
		if err := c.Close(h.ctx); err != nil {
			return reply{}, err
		}
		err := <-ended
		for _, e := range err.(interface{ Unwrap() []error }).Unwrap() {
			if newFailure(e) == nil || !newFailure(e).Is(sqllock.ErrClosed) {
				return reply{}, fmt.Errorf("ended by something else than Close: %w", e)
			}
		}
	}
	return reply{}, nil
}

// goroutinesOver tells how many goroutines there were before openAndClose, and are once those that are about to end have.
func goroutinesOver(h *helper, _ request) (reply, error) {
	deadline := time.Now().Add(slack)
	n := runtime.NumGoroutine()
	for n > h.counted && time.Now().Before(deadline) {
		time.Sleep(time.Millisecond)
		n = runtime.NumGoroutine()
	}
	return reply{Counts: []int{h.counted, n}}, nil
}
