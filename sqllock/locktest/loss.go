package locktest

import (
	"context"
	"errors"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sqllock/toolkit/sqllock"
)

// forcedTTL makes those who are not told of a loss learn of it by their next renewal.
const forcedTTL = slack / 2

func forceReleaseIsSeenAsLoss(a *arena) {
	holder, other := a.party("holder", a.leases(forcedTTL)...), a.party("other")
	for _, by := range []*party{other, holder} {
		l := a.acquire(holder, "n")
		ctx, cancel := l.Context(a.ctx)
		defer cancel()
		require.NoError(a, l.Verify(a.ctx))
		require.NoError(a, by.ForceRelease(a.ctx, "n"))

		a.within(slack, l.Done(), "the holder learns that its lock is gone")
		a.within(slack, ctx.Done(), "the context of the holding ends")
		for what, err := range map[string]error{
			"Err": l.Err(), "the context's cause": context.Cause(ctx), "Verify": l.Verify(a.ctx),
			"Release": l.Release(a.ctx), "a second Release": l.Release(a.ctx),
		} {
			assert.ErrorIs(a, err, sqllock.ErrLost, what)
			assert.ErrorIs(a, err, sqllock.ErrForced, what)
			assert.NotErrorIs(a, err, sqllock.ErrReleased, what)
		}
		a.release(a.soon(other, "n"))
	}

	l := a.acquire(holder, "n")
	require.NoError(a, other.ForceRelease(a.ctx, "n"))
	err := l.Release(a.ctx) // before anybody could tell
	require.ErrorIs(a, err, sqllock.ErrLost)
	require.ErrorIs(a, l.Err(), sqllock.ErrLost)
	require.ErrorIs(a, l.Release(a.ctx), sqllock.ErrLost)

	l = a.soon(holder, "n")
	require.NoError(a, other.ForceRelease(a.ctx, "n"))
	require.ErrorIs(a, l.Verify(a.ctx), sqllock.ErrLost, "the database was asked")
	require.ErrorIs(a, l.Err(), sqllock.ErrLost)
}

func forceReleaseTakesFromAllAndOnlyTheName(a *arena) {
	first, second := a.party("first", a.leases(forcedTTL)...), a.party("second", a.leases(forcedTTL)...)
	require.NoError(a, first.ForceRelease(a.ctx, "never locked"))
	bystander := a.acquire(first, "another")
	a.release(a.acquire(first, "n"))
	require.NoError(a, first.ForceRelease(a.ctx, "n"), "nobody holds it")

	var holders []*sqllock.Lock
	switch {
	case a.can.Shared:
		holders = append(holders, a.acquire(first, "n", sqllock.Shared()), a.acquire(second, "n", sqllock.Shared()))
	default:
		holders = append(holders, a.acquire(second, "n"))
	}
	waiter := a.waits(a.party("waiter"), "n")
	require.NoError(a, first.ForceRelease(a.ctx, "n"))
	for _, l := range holders {
		a.within(slack, l.Done(), "every holder learns of its loss")
		assert.ErrorIs(a, l.Err(), sqllock.ErrForced)
	}
	l := a.granted(waiter)
	assert.NoError(a, l.Verify(a.ctx))
	assert.NoError(a, bystander.Verify(a.ctx), "another lock of the same Client is not concerned")
	a.release(bystander)
}

func doReturnsLoss(a *arena) {
	holder, other := a.party("holder", a.leases(forcedTTL)...), a.party("other")
	errMine := errors.New("what the function returned")
	for _, returned := range []error{nil, errMine} {
		err := holder.Do(a.ctx, "n", func(ctx context.Context) error {
			require.NoError(a, other.ForceRelease(a.ctx, "n"))
			a.within(slack, ctx.Done(), "the context of Do ends")
			assert.ErrorIs(a, context.Cause(ctx), sqllock.ErrLost)
			return returned
		})
		require.ErrorIs(a, err, sqllock.ErrLost)
		require.ErrorIs(a, err, sqllock.ErrForced)
		if returned != nil {
			assert.ErrorIs(a, err, errMine)
		}
	}
	require.NoError(a, holder.Do(a.ctx, "n", func(ctx context.Context) error {
		a.refused(other, "n")
		return ctx.Err()
	}))
	require.Equal(a, errMine.Error(), holder.Do(a.ctx, "n", func(context.Context) error { return errMine }).Error())
	a.release(a.soon(other, "n"))
}

func releaseIsIdempotent(a *arena) {
	p, other := a.party("p"), a.party("other")
	l := a.acquire(p, "n")
	ctx, cancel := l.Context(a.ctx)
	defer cancel()
	require.NoError(a, l.Release(a.ctx))
	require.NoError(a, l.Release(a.ctx))
	a.within(slack, l.Done(), "a released lock is done")
	a.within(slack, ctx.Done(), "its context ends")
	assert.ErrorIs(a, l.Err(), sqllock.ErrReleased)
	assert.NotErrorIs(a, l.Err(), sqllock.ErrLost)
	assert.ErrorIs(a, l.Verify(a.ctx), sqllock.ErrReleased)
	assert.ErrorIs(a, context.Cause(ctx), sqllock.ErrReleased)

	next := a.soon(other, "n")
	require.NoError(a, l.Release(a.ctx))
	assert.NoError(a, next.Verify(a.ctx), "a late second release frees nobody else's lock")
	a.release(next)
}
