package locktest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sqllock/toolkit/sqllock"
)

// processInALoopStarvesNobody has two processes take a lock again as soon as they have released it. Whoever releases
// is nearer to the next grant than anybody else: without an order one of them gets everything.
func processInALoopStarvesNobody(a *arena) {
	const rounds = 60
	greedy, other := a.process("greedy", 0), a.process("other", 0)
	starter := a.party("starter")
	l := a.acquire(starter, "n")
	first, second := greedy.start(request{Program: "loop", Name: "n"}), other.start(request{Program: "loop", Name: "n"})
	a.eventually(func() bool { return len(a.waiters(starter, "n")) == 2 }, "both wait")
	a.release(l)

	// Until both have had that many, and their share: on a busy machine one of them may not run at all for the time of a hundred grants.
	n, m := 0, 0
	defer func() {
		if a.Failed() {
			a.Logf("%d grants to one, %d to the other", n, m)
		}
	}()
	for min(n, m) < rounds || max(n, m) >= 4*min(n, m) {
		n, m = greedy.must(request{Program: "counted"}).Count, other.must(request{Program: "counted"}).Count
		time.Sleep(2 * time.Millisecond) // between two looks
	}

	for range 5 { // and a third one
		a.release(a.soon(starter, "n"))
	}
	for _, p := range []*process{greedy, other} {
		p.must(request{Program: "stop"})
	}
	_, err := greedy.finish(first)
	require.NoError(a, err)
	_, err = other.finish(second)
	require.NoError(a, err)
}

// loop acquires and releases without a pause, until it is stopped.
func loop(h *helper, r request) (reply, error) {
	for h.running() {
		l, err := h.client.Acquire(h.ctx, r.Name)
		if err != nil {
			return reply{}, err
		}
		if err := l.Release(h.ctx); err != nil {
			return reply{}, err
		}
		h.mu.Lock()
		h.counted++
		h.mu.Unlock()
	}
	return reply{}, nil
}

func counted(h *helper, _ request) (reply, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return reply{Count: h.counted}, nil
}

// readersDoNotStarveAWriter lets readers of several processes overlap, so that there is always one: a writer who only tried would never get in.
func readersDoNotStarveAWriter(a *arena) {
	if !a.can.Shared {
		a.unsupported(sqllock.Shared())
		return
	}
	writer := a.party("writer")
	processes := []*process{a.process("r1", 0), a.process("r2", 0), a.process("r3", 0)}
	var running []<-chan reply
	for i, p := range processes {
		running = append(running, p.start(request{Program: "read", Name: "n", Workers: 3, Seed: uint64(i)}))
	}
	for range 5 {
		a.eventually(func() bool { return len(a.infos(writer, "n")) >= 3 }, "readers overlap")
		a.release(a.soon(writer, "n"))
	}
	for i, p := range processes {
		p.must(request{Program: "stop"})
		_, err := p.finish(running[i])
		require.NoError(a, err)
	}
}

// read holds a shared lock most of the time, with several goroutines.
func read(h *helper, r request) (reply, error) {
	return reply{}, inParallel(r.Workers, func(i int) error {
		random := rand.New(rand.NewPCG(r.Seed, uint64(i)))
		for h.running() {
			l, err := h.client.Acquire(h.ctx, r.Name, sqllock.Shared())
			if err != nil {
				return err
			}
			time.Sleep(20*time.Millisecond + time.Duration(random.Int64N(int64(20*time.Millisecond)))) // the reading
			if err := l.Release(h.ctx); err != nil {
				return err
			}
		}
		return nil
	})
}

// waitingContext tells when somebody has begun to wait for its end, and so has a place in the line.
type waitingContext struct {
	context.Context
	once    sync.Once
	waiting chan struct{}
}

func (c *waitingContext) Done() <-chan struct{} {
	c.once.Do(func() { close(c.waiting) })
	return c.Context.Done()
}

func goroutinesAreServedInOrder(a *arena) {
	const goroutines = 12
	p := a.party("p")
	l := a.acquire(p, "n")
	order := make(chan int, goroutines)
	var all sync.WaitGroup
	for i := range goroutines {
		ctx := &waitingContext{Context: a.ctx, waiting: make(chan struct{})}
		all.Go(func() {
			l, err := p.Acquire(ctx, "n")
			if assert.NoError(a, err) {
				order <- i
				assert.NoError(a, l.Release(a.ctx))
			}
		})
		a.within(slack, ctx.waiting, "the goroutine stands in line")
	}
	a.release(l)
	all.Wait()
	for i := range goroutines {
		require.Equal(a, i, <-order)
	}
}

// processesAreServedInOrder is promised by fair backends only; processInALoopStarvesNobody is what all promise.
func processesAreServedInOrder(a *arena) {
	const waiters = 6
	holder := a.party("holder")
	l := a.acquire(holder, "n")
	pendings := make([]*pending, waiters)
	for i := range waiters {
		pendings[i] = a.waits(a.party(fmt.Sprintf("p%d", i)), "n")
	}
	a.release(l)
	if !a.can.Fair {
		for range waiters { // in whatever order
			a.release(a.anyGranted(pendings))
		}
		return
	}
	for i, w := range pendings {
		l := a.granted(w)
		for _, later := range pendings[i+1:] {
			assert.False(a, later.ended())
		}
		if i+1 < waiters {
			a.refused(holder, "n")
		}
		a.release(l)
	}
}

// anyGranted waits for the first of those that are pending, and strikes it off.
func (a *arena) anyGranted(pendings []*pending) (l *sqllock.Lock) {
	a.Helper()
	a.eventually(func() bool {
		for i, w := range pendings {
			if w != nil && w.ended() {
				l, pendings[i] = a.granted(w), nil
				return true
			}
		}
		return false
	}, "one of the waiters is granted")
	return l
}
