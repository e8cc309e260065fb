package locktest

import (
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sqllock/toolkit/sqllock"
)

func atLeastOutlivesRelease(a *arena) {
	const atLeast = 700 * time.Millisecond
	if !a.can.Leases {
		a.unsupported(sqllock.AtLeast(atLeast))
		return
	}
	p, other := a.party("p"), a.party("other")
	for _, m := range a.modes() {
		name := m.String()
		start := time.Now()
		l := a.acquire(p, name, append(mode(m, 1), sqllock.AtLeast(atLeast))...)
		a.release(l)
		if time.Since(start) < atLeast/2 { // this machine was not too slow to say
			a.refused(other, name)
			a.refused(p, name)
		}
		next := a.begin(a.ctx, other, name)
		a.within(atLeast+slack, next.done, "the time has passed")
		require.NoError(a, next.err)
		assert.GreaterOrEqual(a, next.at.Sub(start), atLeast, name)
		a.release(next.lock)
	}

	// Held for longer, it is free when it is released.
	start := time.Now()
	l := a.acquire(p, "n", sqllock.AtLeast(time.Millisecond))
	a.eventually(func() bool { return time.Since(start) > 10*time.Millisecond }, "time passes")
	a.release(l)
	a.release(a.soon(other, "n"))
}

func atLeastOutlivesItsProcess(a *arena) {
	const atLeast = 3 * shortTTL
	if !a.can.Leases {
		a.unsupported(sqllock.AtLeast(atLeast))
		return
	}
	other := a.party("other")
	p := a.process("killed", shortTTL)
	start := time.Now()
	p.acquire(request{Name: "n", AtLeast: atLeast})
	names := []string{"n"}
	if a.can.Shared { // beside another who is dead and nothing else
		p.acquire(request{Name: "read", AtLeast: atLeast, Mode: sqllock.ModeShared})
		p.acquire(request{Name: "read", Mode: sqllock.ModeShared})
		names = append(names, "read")
	}
	p.kill()
	nexts := make([]*pending, len(names))
	for i, name := range names {
		nexts[i] = a.begin(a.ctx, other, name)
	}
	for _, next := range nexts {
		a.within(atLeast+slack, next.done, "the time has passed")
		require.NoError(a, next.err)
		assert.GreaterOrEqual(a, next.at.Sub(start), atLeast)
		a.release(next.lock)
	}

	closed := sqllock.New(other.backend, sqllock.TTL(longTTL))
	start = time.Now()
	a.acquire(&party{Client: closed}, "n", sqllock.AtLeast(atLeast))
	require.NoError(a, closed.Close(a.ctx))
	a.release(a.soon(other, "n"))
	assert.GreaterOrEqual(a, time.Since(start), atLeast, "Close releases, and no more")
}

func forceReleaseOverridesAtLeast(a *arena) {
	if !a.can.Leases {
		a.unsupported(sqllock.AtLeast(time.Hour))
		return
	}
	p, other := a.party("p"), a.party("other")
	a.release(a.acquire(p, "n", sqllock.AtLeast(time.Hour)))
	a.refused(other, "n")
	infos := a.infos(other, "n")
	require.Len(a, infos, 1, "what keeps the name taken is to be seen")
	assert.WithinDuration(a, time.Now().Add(time.Hour), infos[0].Keep, time.Minute)
	next := a.waits(other, "n")
	require.NoError(a, p.ForceRelease(a.ctx, "n"))
	a.release(a.granted(next))

	l := a.soon(p, "n", sqllock.AtLeast(time.Hour))
	require.NoError(a, other.ForceRelease(a.ctx, "n"))
	assert.ErrorIs(a, l.Release(a.ctx), sqllock.ErrLost)
	a.release(a.soon(other, "n"))
}
