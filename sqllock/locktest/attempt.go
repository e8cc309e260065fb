package locktest

import (
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sqllock/toolkit/sqllock"
)

func tryTellsWhoHolds(a *arena) {
	holder, other := a.party("the holder"), a.party("the other")
	l := a.acquire(holder, "n")

	for _, p := range []*party{holder, other} {
		got, err := p.TryAcquire(a.ctx, "n")
		require.Nil(a, got)
		require.ErrorIs(a, err, sqllock.ErrNotAcquired)
		assert.NotErrorIs(a, err, sqllock.ErrLost)
		var held *sqllock.HeldError
		require.ErrorAs(a, err, &held)
		assert.Equal(a, "n", held.Name)
		assert.NoError(a, held.Cause)
		// A database that knows sessions only cannot always tell, but must not tell of somebody else.
		if a.can.Metadata || p == holder || held.Owner != "" {
			assert.Equal(a, "the holder", held.Owner, "asked by %s", p.owner)
		}
		if a.can.Leases && p == other {
			assert.WithinDuration(a, time.Now().Add(longTTL), held.Expires, longTTL)
		}
	}
	a.release(l)
	got, err := other.TryAcquire(a.ctx, "n")
	require.NoError(a, err)
	require.NotNil(a, got)
}

func locksAreNotReentrant(a *arena) {
	p := a.party("p")
	for _, m := range a.modes() {
		name := m.String()
		l := a.acquire(p, name, mode(m, 1)...)
		a.refused(p, name)
		_, err := p.Acquire(a.ctx, name, sqllock.Wait(50*time.Millisecond))
		require.ErrorIs(a, err, sqllock.ErrNotAcquired)
		assert.NoError(a, l.Err())
		a.release(l)
		a.release(a.soon(p, name))
	}
}
