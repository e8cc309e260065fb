package locktest

import (
	"context"
	"database/sql"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sqllock/toolkit/sqllock"
)

// stoppedHolderLosesItsLease also shows that a stopped process cannot be relied on to notice: what it asks first must be answered by the clock.
func stoppedHolderLosesItsLease(a *arena) {
	if !a.can.Leases {
		a.unsupported(sqllock.TTL(shortTTL))
		return
	}
	other := a.party("other")
	p := a.process("stopped", shortTTL)
	l := p.acquire(request{Name: "n"})
	p.must(request{Program: "awaitPause", Lock: l.Lock, For: shortTTL})
	stopped := a.stopBetweenWrites(p, other)
	var next *sqllock.Lock
	a.eventually(func() (granted bool) { // by somebody who lies in wait, and does not believe when it will be
		var err error
		next, err = other.TryAcquire(a.ctx, "n")
		return err == nil
	}, "the lease of a stopped process runs out")
	assert.False(a, time.Now().Before(l.Deadline), "before the time that the holder was promised")

	<-time.After(time.Until(stopped.Add(2 * shortTTL))) // a pause that no busy machine makes
	p.resume()
	_, err := p.do(request{Program: "afterPause"})
	require.ErrorIs(a, err, sqllock.ErrLost)
	require.ErrorIs(a, err, sqllock.ErrExpired)
	if a.subject.Guard != nil {
		_, err := p.do(request{Program: "guard", Lock: l.Lock, Query: "SELECT 1"})
		require.ErrorIs(a, err, sqllock.ErrLost)
	}
	_, err = p.do(request{Program: "release", Lock: l.Lock})
	require.ErrorIs(a, err, sqllock.ErrLost)
	require.NoError(a, next.Verify(a.ctx), "nothing that the former holder does concerns the next")
	a.release(next)
	p.acquire(request{Name: "n"}) // with a session of its own that is new
}

// stopBetweenWrites stops p and returns when. Where the database knows one writer at a time, a process that is stopped while it
// renews keeps everybody out for as long as it is stopped: that is the database's own lock, and not what is claimed about leases.
func (a *arena) stopBetweenWrites(p *process, other *party) (stopped time.Time) {
	a.Helper()
	a.eventually(func() bool {
		p.stop()
		stopped = time.Now()
		if !a.subject.OneWriter {
			return true
		}
		ctx, cancel := context.WithTimeout(a.ctx, shortTTL/4)
		defer cancel()
		l, err := other.TryAcquire(ctx, "somebody writes")
		if err != nil {
			p.resume()
			return false
		}
		a.release(l)
		return true
	}, "the process is stopped while it does not write")
	return stopped
}

// lateClock tells the time, but its timers are late, as those of a process are that was not allowed to run.
type lateClock struct{ stoppedClock }

func (lateClock) Now() time.Duration { return sqllock.SystemClock.Now() }

func errReadsTheClock(a *arena) {
	if !a.can.Leases {
		a.unsupported(sqllock.TTL(shortTTL))
		return
	}
	p := a.party("p", sqllock.TTL(shortTTL), sqllock.WithClock(lateClock{}))
	before := time.Now()
	l := a.acquire(p, "n")
	a.eventually(func() bool { return l.Err() != nil }, "nothing but the clock says so")
	assert.ErrorIs(a, l.Err(), sqllock.ErrExpired)
	assert.GreaterOrEqual(a, time.Since(before), shortTTL/2, "not at once either")
	a.within(slack, l.Done(), "who has asked has told the others")
	assert.ErrorIs(a, l.Release(a.ctx), sqllock.ErrLost)
}

func killedHolderIsFollowed(a *arena) {
	other := a.party("other")
	p := a.process("killed", shortTTL)
	l := p.acquire(request{Name: "n"})
	next := a.waits(other, "n")
	p.kill()
	a.within(shortTTL+slack, next.done, "the dead hold nothing")
	require.NoError(a, next.err)
	if a.can.Leases {
		assert.False(a, next.at.Before(l.Deadline), "before the time that the holder was promised")
	}
	a.release(next.lock)
}

// stoppedClock stands still: whoever goes by it renews nothing and believes for ever to hold.
type stoppedClock struct{}

func (stoppedClock) Now() time.Duration { return time.Hour }

func (stoppedClock) AfterFunc(time.Duration, func()) sqllock.Timer { return stoppedTimer{} }

type stoppedTimer struct{}

func (stoppedTimer) Stop() bool { return true }

func (stoppedTimer) Reset(time.Duration) bool { return true }

// staleHolderCannotTouchTheNext gives a lease to a holder who has no idea that it has run out. Only the database can stop it.
func staleHolderCannotTouchTheNext(a *arena) {
	if !a.can.Leases {
		a.unsupported(sqllock.TTL(shortTTL))
		return
	}
	next := a.party("next")
	db := a.db()
	for _, m := range a.modes() {
		name := m.String()
		stale := func() *sqllock.Lock {
			l := a.acquire(a.party("stale", sqllock.TTL(shortTTL), sqllock.WithClock(stoppedClock{})), name, mode(m, 1)...)
			a.soonAfter(l, next, name)
			require.NoError(a, l.Err(), "it does not know")
			return l
		}
		if a.subject.Guard != nil {
			a.guardFails(next, db, stale(), sqllock.ErrLost)
		}
		assert.ErrorIs(a, stale().Verify(a.ctx), sqllock.ErrLost, name)

		l := stale()
		followed := a.soon(next, name)
		assert.ErrorIs(a, l.Release(a.ctx), sqllock.ErrLost, name)
		assert.NoError(a, followed.Verify(a.ctx), name)
		a.release(followed)
	}

	if a.subject.Guard != nil && a.subject.LockTx != nil {
		// The next may also be a transaction, which has no lease and leaves no holder behind.
		l := a.acquire(a.party("stale", sqllock.TTL(shortTTL), sqllock.WithClock(stoppedClock{})), "n")
		var tx *sql.Tx
		a.eventually(func() bool {
			tx = a.lockingTx(db)
			if a.subject.TryLockTx(a.ctx, next.backend, tx, "n") == nil {
				return true
			}
			require.NoError(a, tx.Rollback())
			return false
		}, "the lease of the stale holder runs out")
		require.NoError(a, l.Err(), "it does not know")
		guarded := make(chan struct{})
		go func() { // it may look before the transaction ends, but must not decide
			defer close(guarded)
			a.guardFails(next, db, l, sqllock.ErrLost)
		}()
		a.stays(aWhile, guarded, "guarded while a transaction has the name locked")
		require.NoError(a, tx.Commit())
		<-guarded
	}
}

// soonAfter has somebody else take and release what l holds, once its lease has run out.
func (a *arena) soonAfter(l *sqllock.Lock, next *party, name string) {
	a.Helper()
	followed := a.soon(next, name)
	require.Greater(a, followed.Token(), l.Token())
	a.release(followed)
}
