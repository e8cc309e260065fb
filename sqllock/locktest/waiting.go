package locktest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sqllock/toolkit/sqllock"
)

// Fractions of a second: a backend that counts in whole ones is found out.
const (
	aWhile  = 230 * time.Millisecond
	aLonger = 730 * time.Millisecond // enough for the database to answer on a busy machine too
)

// waitIsBoundedFromBothSides waits for what this Client holds and for what another one holds: the first never comes to the database.
func waitIsBoundedFromBothSides(a *arena) {
	holder, other := a.party("holder"), a.party("other")
	l := a.acquire(holder, "n")
	for _, p := range []*party{holder, other} {
		start := time.Now()
		got, err := p.Acquire(a.ctx, "n", sqllock.Wait(aLonger))
		took := time.Since(start)
		require.Nil(a, got)
		require.ErrorIs(a, err, sqllock.ErrNotAcquired, p.owner)
		assert.NotErrorIs(a, err, context.DeadlineExceeded, "this would look like the caller's own deadline")
		assert.NotErrorIs(a, err, context.Canceled)
		assert.GreaterOrEqual(a, took, aLonger, p.owner)
		assert.Less(a, took, aLonger+slack, p.owner)
	}
	a.release(l)
	a.release(a.soon(other, "n", sqllock.Wait(aWhile)))
}

func contextBoundsTheWaitAndNotTheHolding(a *arena) {
	holder, other := a.party("holder"), a.party("other")
	l := a.acquire(holder, "n")
	errMine := errors.New("my own reason")
	for _, p := range []*party{holder, other} {
		for _, cause := range []error{nil, errMine} {
			start := time.Now() // before that of the context
			ctx, cancel := context.WithTimeoutCause(a.ctx, aLonger, cause)
			got, err := p.Acquire(ctx, "n")
			took := time.Since(start)
			if cause == nil {
				cause = context.DeadlineExceeded
			}
			cancel()
			require.Nil(a, got)
			require.ErrorIs(a, err, sqllock.ErrNotAcquired, p.owner)
			assert.ErrorIs(a, err, cause, p.owner)
			assert.GreaterOrEqual(a, took, aLonger, p.owner)
			assert.Less(a, took, aLonger+slack, p.owner)
		}
		ctx, cancel := context.WithCancelCause(a.ctx)
		cancel(errMine)
		for _, acquire := range []func(context.Context, string, ...sqllock.Option) (*sqllock.Lock, error){p.Acquire, p.TryAcquire} {
			got, err := acquire(ctx, "n")
			require.Nil(a, got)
			require.ErrorIs(a, err, errMine)
			assert.NotErrorIs(a, err, sqllock.ErrNotAcquired, "nobody was asked")
		}
	}
	a.release(l)

	ctx, cancel := context.WithCancel(a.ctx)
	l, err := other.Acquire(ctx, "n")
	require.NoError(a, err)
	cancel()
	a.refused(holder, "n")
	assert.NoError(a, l.Verify(a.ctx))
	assert.NoError(a, l.Release(ctx), "a release works with a cancelled context")
	a.release(a.soon(holder, "n"))
}

func waiterGetsWhatIsReleased(a *arena) {
	holder, waiter := a.party("holder"), a.party("waiter")
	for range 10 {
		l := a.acquire(holder, "n")
		w := a.waits(waiter, "n")
		assert.False(a, w.ended())
		a.release(l)
		a.release(a.granted(w))
	}
}

// cancelledAcquireLeavesNothingBehind ends acquisitions at any instant between the first thought and the answer. What was
// granted too late has to be given back, which nobody sees but those who find the name taken for the rest of the process' life.
func cancelledAcquireLeavesNothingBehind(a *arena) {
	const workers, each = 6, 25
	seed := rand.Uint64()
	a.Logf("seed %d", seed)
	modes := a.modes()
	canceller, other := a.party("canceller"), a.party("other")

	start := time.Now()
	for range 5 {
		a.release(a.acquire(canceller, "how long it takes"))
	}
	usual := time.Since(start) / 5

	err := inParallel(workers, func(w int) error {
		random := rand.New(rand.NewPCG(seed, uint64(w)))
		name := fmt.Sprintf("n%d", w/2) // two cancel each other's waits too
		for i := range each {
			var held *sqllock.Lock
			if i%5 == 0 { // taken by another process, who leaves while we are cancelled
				held, _ = other.TryAcquire(a.ctx, name)
			}
			ctx, cancel := context.WithTimeout(a.ctx, time.Duration(random.Int64N(int64(3*usual))))
			var opts []sqllock.Option
			if random.IntN(4) == 0 {
				opts = append(opts, sqllock.Wait(0))
			}
			l, err := canceller.Acquire(ctx, name, append(opts, mode(modes[random.IntN(len(modes))], 2)...)...)
			cancel()
			if held != nil {
				if err := held.Release(a.ctx); err != nil {
					return err
				}
			}
			switch {
			case err == nil:
				if err := l.Release(a.ctx); err != nil {
					return err
				}
			case !errors.Is(err, sqllock.ErrNotAcquired) && !errors.Is(err, context.DeadlineExceeded):
				return fmt.Errorf("nothing was wrong with the database: %w", err)
			}
		}
		return nil
	})
	require.NoError(a, err)

	for w := range workers / 2 {
		a.release(a.soon(other, fmt.Sprintf("n%d", w)))
	}
	a.eventually(func() bool {
		infos, err := other.Locks(a.ctx)
		return err == nil && len(infos) == 0
	}, "no holder and no waiter is left")
	for w := range workers / 2 {
		a.release(a.soon(canceller, fmt.Sprintf("n%d", w)))
	}
}
