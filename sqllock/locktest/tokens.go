package locktest

import (
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sqllock/toolkit/sqllock"
)

func tokensGrowWhateverEndsALock(a *arena) {
	const name = "n"
	first, second := a.party("first"), a.party("second", a.leases(forcedTTL)...)
	if !a.can.Tokens {
		assert.Zero(a, a.acquire(first, name).Token())
		return
	}
	var last int64
	later := func(token int64, after string) {
		a.Helper()
		require.Greater(a, token, last, "after %s", after)
		last = token
	}
	purge := func() {
		if a.subject.Purge != nil {
			require.NoError(a, a.subject.Purge(a.ctx, first.backend))
		}
	}

	l := a.acquire(first, name)
	later(l.Token(), "nothing")
	a.release(l)
	l = a.soon(first, name)
	later(l.Token(), "a release")
	a.release(l)
	l = a.soon(second, name)
	later(l.Token(), "a release by another Client")

	require.NoError(a, first.ForceRelease(a.ctx, name))
	l = a.soon(first, name)
	later(l.Token(), "a forced release")
	a.release(l)

	purge()
	l = a.soon(second, name)
	later(l.Token(), "a clean-up")
	a.release(l)
	purge()
	purge()
	l = a.soon(first, name)
	later(l.Token(), "two clean-ups")
	a.release(l)

	p := a.process("process", shortTTL)
	later(p.acquire(request{Name: name}).Token, "another process' grant")
	p.kill()
	l = a.soon(first, name)
	later(l.Token(), "the death of a holder")
	a.release(l)

	if a.can.Shared {
		one := a.soon(first, name, sqllock.Shared())
		later(one.Token(), "a reader")
		two := a.soon(second, name, sqllock.Shared())
		later(two.Token(), "a second reader")
		a.release(one)
		three := a.soon(first, name, sqllock.Shared())
		later(three.Token(), "a reader who left")
		a.release(two)
		a.release(three)
	}
	if a.can.Permits {
		one := a.soon(first, name, sqllock.Permits(2))
		later(one.Token(), "a permit")
		two := a.soon(second, name, sqllock.Permits(2))
		later(two.Token(), "a second permit")
		a.release(one)
		a.release(two)
	}
	later(a.soon(second, name).Token(), "all that")
}
