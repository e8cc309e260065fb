package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sqllock/toolkit/postgres"
	"github.com/sqllock/toolkit/sqllock"
)

// occupancy is who is inside a lock: writers in the highest digits, then permits, then readers.
type occupancy struct{ n atomic.Int64 }

const (
	aReader = int64(1)
	aPermit = int64(1) << 20
	aWriter = int64(1) << 40
)

// enter reports whether those inside may be there together.
func (o *occupancy) enter(who int64, permits int64) bool {
	n := o.n.Add(who)
	writers, p, readers := n/aWriter, n%aWriter/aPermit, n%aPermit
	return writers+min(p, 1)+min(readers, 1) == 1 && p <= permits
}

func (o *occupancy) leave(who int64) { o.n.Add(-who) }

// TestAdvisoryAttemptsOfOneProcessExcludeEachOther although the server would grant its session the same key again and again.
func TestAdvisoryAttemptsOfOneProcessExcludeEachOther(t *testing.T) {
	t.Parallel()
	const goroutines, rounds, permits = 8, 400, 2
	s := newScene(t)
	clients := []*sqllock.Client{s.client(), s.client()} // most of the goroutines share one
	modes := []struct {
		who  int64
		opts []sqllock.Option
	}{{aWriter, nil}, {aReader, []sqllock.Option{sqllock.Shared()}}, {aPermit, []sqllock.Option{sqllock.Permits(permits)}}}
	for name, mixed := range map[string]int{"exclusive": 1, "mixed": len(modes)} {
		var inside occupancy
		var granted, refused atomic.Int64
		var all sync.WaitGroup
		for i := range goroutines {
			all.Go(func() {
				c := clients[i/(goroutines-2)]
				random := rand.New(rand.NewPCG(1, uint64(i)))
				for range rounds {
					mode := modes[random.IntN(mixed)]
					l, err := c.TryAcquire(t.Context(), name, mode.opts...)
					if errors.Is(err, sqllock.ErrNotAcquired) {
						refused.Add(1)
						continue
					}
					if !assert.NoError(t, err) {
						return
					}
					granted.Add(1)
					if !assert.True(t, inside.enter(mode.who, permits), "%x are inside at once", inside.n.Load()) {
						return
					}
					inside.leave(mode.who)
					if !assert.NoError(t, l.Release(t.Context())) {
						return
					}
				}
			})
		}
		all.Wait()
		assert.Positive(t, granted.Load())
		assert.Positive(t, refused.Load())
	}
	s.onlySessionsLeft()
}

// TestAdvisoryCancelledAcquireLeavesNoLock whenever it is cancelled: before it is sent, while it is on its way, when the answer arrives.
func TestAdvisoryCancelledAcquireLeavesNoLock(t *testing.T) {
	t.Parallel()
	const goroutines, rounds = 12, 60
	s := newScene(t)
	clients := []*sqllock.Client{s.client(postgres.Poll(20 * time.Millisecond)), s.client(postgres.Poll(20 * time.Millisecond))}
	errCancelled := errors.New("cancelled")
	var inside [2]occupancy
	var granted, cancelled atomic.Int64
	var all sync.WaitGroup
	for i := range goroutines {
		all.Go(func() {
			c := clients[i%len(clients)]
			random := rand.New(rand.NewPCG(2, uint64(i)))
			for range rounds {
				ctx, cancel := context.WithCancelCause(t.Context())
				patience := 3 * time.Millisecond
				if random.IntN(4) == 0 {
					patience = 100 * time.Millisecond // enough on a busy machine too
				}
				end := time.AfterFunc(time.Duration(random.Int64N(int64(patience))), func() { cancel(errCancelled) })
				n := random.IntN(len(inside))
				who, opts := aWriter, []sqllock.Option(nil)
				switch random.IntN(4) {
				case 0:
					who, opts = aReader, []sqllock.Option{sqllock.Shared()}
				case 1:
					who, opts = aPermit, []sqllock.Option{sqllock.Permits(2)}
				}
				acquire := c.Acquire
				if random.IntN(4) == 0 {
					acquire = c.TryAcquire
				}
				l, err := acquire(ctx, fmt.Sprint("n", n), opts...)
				if err == nil {
					granted.Add(1)
					if !assert.True(t, inside[n].enter(who, 2), "%x are inside at once", inside[n].n.Load()) {
						return
					}
					inside[n].leave(who)
					err = l.Release(ctx)
				} else if errors.Is(err, sqllock.ErrNotAcquired) || assert.ErrorIs(t, err, errCancelled, "before the database has answered") {
					cancelled.Add(1)
					err = nil
				}
				end.Stop()
				cancel(nil)
				if !assert.NoError(t, err) {
					return
				}
			}
		})
	}
	all.Wait()
	assert.Positive(t, granted.Load())
	assert.Positive(t, cancelled.Load())
	s.onlySessionsLeft()
	for _, c := range clients {
		for n := range inside {
			l, err := c.TryAcquire(t.Context(), fmt.Sprint("n", n))
			require.NoError(t, err)
			s.release(l)
		}
	}
}

// TestAdvisoryCancelledSetLeavesNoLock is the same for many names in one statement.
func TestAdvisoryCancelledSetLeavesNoLock(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	c, other := s.client(), s.client()
	names := make([]string, 200)
	for i := range names {
		names[i] = fmt.Sprint("n", i)
	}
	held := s.acquire(other, names[100])
	random := rand.New(rand.NewPCG(3, 3))
	for range 60 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(random.Int64N(int64(15*time.Millisecond))))
		set, err := c.AcquireAll(ctx, names)
		cancel()
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Nil(t, set)
	}
	s.release(held)
	s.onlySessionsLeft()
	set, err := c.AcquireAll(t.Context(), names)
	require.NoError(t, err)
	require.NoError(t, set.Release(t.Context()))
}
