package locktest

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sqllock/toolkit/sqllock"
)

func (a *arena) guard(p *party, tx *sql.Tx, l *sqllock.Lock) error {
	return a.subject.Guard(a.ctx, p.backend, tx, l)
}

// guarded begins a transaction and guards it with l.
func (a *arena) guarded(p *party, db *sql.DB, l *sqllock.Lock) *sql.Tx {
	a.Helper()
	tx, err := db.BeginTx(a.ctx, nil)
	require.NoError(a, err)
	a.Cleanup(func() { _ = tx.Rollback() })
	require.NoError(a, a.guard(p, tx, l))
	return tx
}

// guardFails asks a lock that is gone for its guard.
func (a *arena) guardFails(p *party, db *sql.DB, l *sqllock.Lock, with error) {
	a.Helper()
	tx, err := db.BeginTx(a.ctx, nil)
	if assert.NoError(a, err) {
		assert.ErrorIs(a, a.guard(p, tx, l), with, l.Name())
		assert.NoError(a, tx.Rollback())
	}
}

// guard begins a transaction, guards it, and writes in it.
func guard(h *helper, r request) (reply, error) {
	tx, err := h.db.BeginTx(h.ctx, nil)
	if err != nil {
		return reply{}, err
	}
	err = h.subject.Guard(h.ctx, h.backend, tx, h.lock(r.Lock))
	if err == nil {
		_, err = tx.ExecContext(h.ctx, r.Query)
	}
	if err != nil {
		return reply{}, errors.Join(err, tx.Rollback())
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.tx = tx
	return reply{}, nil
}

func commit(h *helper, _ request) (reply, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return reply{}, h.tx.Commit()
}

func guardOutlivesALeaseOfAWriter(a *arena) { guardOutlivesALease(a, sqllock.ModeExclusive) }

func guardOutlivesALeaseOfAReader(a *arena) {
	if !a.can.Shared {
		a.unsupported(sqllock.Shared())
		return
	}
	guardOutlivesALease(a, sqllock.ModeShared)
}

func guardOutlivesALeaseOfAPermit(a *arena) {
	if !a.can.Permits {
		a.unsupported(sqllock.Permits(1))
		return
	}
	guardOutlivesALease(a, sqllock.ModePermit)
}

// guardOutlivesALease stops a process in the middle of a guarded transaction until nothing but the guard keeps others out. That
// it may commit then is the very promise: nobody could have been granted in between.
func guardOutlivesALease(a *arena, m sqllock.Mode) {
	if a.subject.Guard == nil {
		return
	}
	db := a.db()
	account := a.ledgers(db, 1)[0]
	first, second := a.party("first"), a.party("second")
	p := a.process("stopped", shortTTL)
	held := p.acquire(request{Name: "n", Mode: m, Permits: 1})
	p.must(request{Program: "guard", Lock: held.Lock, Query: "UPDATE ledger SET counter = 42"})
	p.stop()
	stopped := time.Now()

	next := a.begin(a.ctx, first, "n")
	for time.Since(stopped) < 3*shortTTL {
		a.kept(second, "n")
		ctx, cancel := context.WithTimeout(a.ctx, shortTTL/4)
		err := second.ForceRelease(ctx, "n")
		cancel()
		require.ErrorIs(a, err, sqllock.ErrNotConfirmed)
	}
	require.Nil(a, next.grant(), "granted while a guarded transaction of the holder is open")

	p.resume()
	p.must(request{Program: "commit"})
	a.within(slack, next.done, "the waiter gets in")
	if a.subject.OneWriter && next.err != nil { // its first attempt has waited too long for the transaction
		next = a.begin(a.ctx, first, "n")
	}
	l := a.granted(next)
	n, err := account.counter(a.ctx)
	require.NoError(a, err)
	assert.Equal(a, 42, n, "the next holder sees what the guarded transaction wrote")
	a.release(l)
}

func guardFailsWhenTheLockIsGone(a *arena) {
	if a.subject.Guard == nil {
		return
	}
	db := a.db()
	p, other := a.party("p", a.leases(forcedTTL)...), a.party("other")
	for _, m := range a.modes() {
		name := m.String()
		l := a.acquire(p, name, mode(m, 1)...)
		require.NoError(a, a.guarded(p, db, l).Commit())
		require.NoError(a, a.guarded(p, db, l).Rollback())
		a.release(l)
		a.guardFails(p, db, l, sqllock.ErrReleased)

		l = a.soon(p, name, mode(m, 1)...)
		require.NoError(a, other.ForceRelease(a.ctx, name))
		a.guardFails(p, db, l, sqllock.ErrLost)

		// Guarded, it can be taken by force only afterwards.
		l = a.soon(p, name, mode(m, 1)...)
		tx := a.guarded(p, db, l)
		forced := make(chan error, 1)
		go func() { forced <- other.ForceRelease(a.ctx, name) }()
		assert.NoError(a, l.Verify(a.ctx))
		require.NoError(a, tx.Commit())
		require.NoError(a, <-forced)
		a.guardFails(p, db, l, sqllock.ErrLost)
	}
}

// releaseWaitsForTheGuard gives a lock up inside the transaction that it guards: an easy mistake, which must not break the promise.
func releaseWaitsForTheGuard(a *arena) {
	if a.subject.Guard == nil {
		return
	}
	db := a.db()
	p, other := a.party("p"), a.party("other")
	for _, m := range a.modes() {
		name := m.String()
		l := a.acquire(p, name, mode(m, 1)...)
		tx := a.guarded(p, db, l)
		released := make(chan error, 1)
		go func() { released <- l.Release(a.ctx) }()
		next := a.begin(a.ctx, other, name)
		a.stays(aWhile, next.done, "granted while the transaction that guards the lock is open")
		require.NoError(a, tx.Commit())
		a.release(a.granted(next))
		require.NoError(a, <-released)
	}
}

func guardDoesNotBlockRenewal(a *arena) {
	if a.subject.Guard == nil {
		return
	}
	if !a.can.Leases {
		a.unsupported(sqllock.TTL(longTTL))
		return
	}
	const ttl = 5 * shortTTL // a renewal that is late is not the claim
	db := a.db()
	p := a.party("p", sqllock.TTL(ttl))
	l := a.acquire(p, "n")
	tx := a.guarded(p, db, l)
	if a.subject.OneWriter {
		a.within(ttl+slack, l.Done(), "no renewal gets past the open transaction")
		return
	}
	a.stays(3*ttl/2, l.Done(), "the lease is lost while a guard is open")
	assert.NoError(a, l.Err())
	require.NoError(a, tx.Commit())
	a.release(l)
}
