package locktest

import (
	"context"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sqllock/toolkit/sqllock"
)

// unreachableDatabaseIsNotContention: whoever cannot ask does not know whether somebody holds.
func unreachableDatabaseIsNotContention(a *arena) {
	p := a.partyAt(a.subject.Unreachable, "nowhere")
	ctx, cancel := context.WithTimeout(a.ctx, slack)
	defer cancel()
	for what, ask := range map[string]func() error{
		"TryAcquire":         func() error { _, err := p.TryAcquire(ctx, "n"); return err },
		"Acquire":            func() error { _, err := p.Acquire(ctx, "n"); return err },
		"Acquire with Wait":  func() error { _, err := p.Acquire(ctx, "n", sqllock.Wait(aWhile)); return err },
		"AcquireAll":         func() error { _, err := p.AcquireAll(ctx, []string{"n", "m"}); return err },
		"AcquireAll in turn": func() error { _, err := p.AcquireAll(ctx, []string{"n", "m"}, sqllock.Wait(0)); return err },
		"Do":                 func() error { return p.Do(ctx, "n", func(context.Context) error { return nil }) },
		"Ping":               func() error { return p.Ping(ctx) },
		"Locks":              func() error { _, err := p.Locks(ctx); return err },
		"ForceRelease":       func() error { return p.ForceRelease(ctx, "n") },
	} {
		err := ask()
		require.Error(a, err, what)
		assert.NotErrorIs(a, err, sqllock.ErrNotAcquired, what)
		assert.NotErrorIs(a, err, sqllock.ErrLost, what)
		assert.NotErrorIs(a, err, sqllock.ErrInvalid, what)
	}
	assert.NoError(a, ctx.Err(), "an error of the first attempt ends the wait at once")
}

// hungDatabaseEndsTheHolding: silence is worse than an error, because whoever waits for the answer to a renewal forgets the time.
func hungDatabaseEndsTheHolding(a *arena) {
	if a.subject.Hang == nil {
		return
	}
	const ttl = 1500 * time.Millisecond
	dsn, pause, resume := a.subject.Hang(a)
	p := a.partyAt(dsn, "p", a.leases(ttl)...)
	l := a.acquire(p, "n")
	ctx, cancel := l.Context(a.ctx)
	defer cancel()
	pause()
	hung := time.Now()
	a.within(ttl+2*slack, ctx.Done(), "the holding ends although nobody says so")
	assert.ErrorIs(a, context.Cause(ctx), sqllock.ErrLost)
	assert.ErrorIs(a, l.Err(), sqllock.ErrLost)
	if a.can.Leases {
		assert.ErrorIs(a, l.Err(), sqllock.ErrExpired)
		assert.Less(a, time.Since(hung), ttl+slack)
	}
	start := time.Now()
	assert.ErrorIs(a, l.Release(a.ctx), sqllock.ErrLost)
	for what, ask := range map[string]func() error{
		"Acquire with Wait": func() error { _, err := p.Acquire(a.ctx, "m", sqllock.Wait(aWhile)); return err },
		"Acquire":           func() error { _, err := p.Acquire(timeout(a, aWhile), "m"); return err },
		"TryAcquire":        func() error { _, err := p.TryAcquire(timeout(a, aWhile), "m"); return err },
		"AcquireAll":        func() error { _, err := p.AcquireAll(timeout(a, aWhile), []string{"m", "o"}); return err },
	} {
		err := ask()
		require.Error(a, err, what)
		assert.NotErrorIs(a, err, sqllock.ErrNotAcquired, "%s: nobody has said that the name is taken", what)
	}
	assert.Less(a, time.Since(start), slack, "whoever has said how long they wait does not wait for the database")

	resume()
	a.eventually(func() bool {
		l, err := p.TryAcquire(a.ctx, "n")
		return err == nil && l.Verify(a.ctx) == nil
	}, "after the outage all is well")
}

func timeout(a *arena, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(a.ctx, d)
	a.Cleanup(cancel)
	return ctx
}

// severedConnectionsAreSurvived: leases outlive connections, session locks end with theirs and say so. Waiting goes on.
func severedConnectionsAreSurvived(a *arena) {
	if a.subject.Sever == nil {
		return
	}
	p, other := a.party("p"), a.party("other")
	for range 3 {
		var l *sqllock.Lock
		a.eventually(func() (ok bool) {
			var err error
			l, err = p.Acquire(a.ctx, "n")
			return err == nil
		}, "the connections that were severed in the last round have all said so")
		w := a.begin(a.ctx, other, "n")
		watcher := a.party("watcher") // whose connections the last round has not cut
		a.eventually(func() bool { return len(a.waiters(watcher, "n")) == 1 }, "the waiter is seen")
		a.subject.Sever(a, a.dsn)
		if a.can.Leases {
			a.stays(aWhile, l.Done(), "a lease is lost with a connection")
			a.eventually(func() bool { return l.Verify(a.ctx) == nil }, "the database can be asked again")
			a.release(l)
		} else {
			a.within(slack, l.Done(), "the holder learns that its session has ended")
			assert.ErrorIs(a, l.Err(), sqllock.ErrLost)
		}
		a.release(a.granted(w))
	}
}
