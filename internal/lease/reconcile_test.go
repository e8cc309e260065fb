package lease

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sqllock/toolkit/sqllock"
)

func TestUnansweredAttemptHoldsNothing(t *testing.T) {
	play(t, func(s *scene) {
		p, stop := s.party("p"), newGate()
		kept := p.acquire("kept")
		p.store.log()
		p.store.meets("Acquire", nil, loseReply, fail) // nil: of the first attempt, which finds no resource
		p.store.meets("Reconcile", stop.slowRequest)
		a := p.try("n")
		require.Len(s, s.table.holders("n"), 1, "the database has granted it")
		require.False(s, a.ended(), "nobody says that it is held")

		stop.pass()
		require.NotErrorIs(s, a.refused(), sqllock.ErrNotAcquired, "not knowing is not being refused")
		require.ErrorIs(s, a.err, errWire)
		s.free("n")
		assert.Equal(s, []string{"Acquire", "Seed", "Acquire", "Reconcile", "Acquire", "Reconcile"}, p.store.log())
		assert.NoError(s, kept.Verify(s.Context()), "what was known is kept")
		s.release(kept)
	})
}

func TestAttemptAfterALostReplySucceeds(t *testing.T) {
	play(t, func(s *scene) {
		p := s.party("p")
		p.acquire("kept")
		p.store.log()
		p.store.meets("Acquire", nil, loseReply)
		l := p.acquire("n")
		assert.Equal(s, []string{"Acquire", "Seed", "Acquire", "Reconcile", "Acquire"}, p.store.log())
		assert.Equal(s, []int64{l.Token()}, s.table.holders("n"), "the unknown holder was given back, and another one granted")
	})
}

// The worst case: the request still travels when the caller has given up, reconciled and gone.
func TestAttemptThatArrivesLateIsRefusedByItsEpoch(t *testing.T) {
	play(t, func(s *scene) {
		p, late := s.party("p"), newGate()
		s.release(p.acquire("n"))
		p.store.meets("Acquire", late.late, fail)
		require.ErrorIs(s, p.try("n").refused(), errWire)
		late.pass()
		s.free("n")
		s.release(p.acquire("n"))
	})
}

func TestStaleAttemptIsRepeatedWithTheNewEpoch(t *testing.T) {
	play(t, func(s *scene) {
		p := s.party("p")
		s.release(p.acquire("n"))
		p.store.mute = true
		lost := p.acquire("forced")
		s.table.force("forced", false)
		p.store.log()
		l := p.acquire("n")
		assert.Equal(s, []string{"Acquire", "Reconcile", "Reconcile", "Acquire"}, p.store.log())
		assert.ErrorIs(s, lost.Err(), sqllock.ErrForced)
		s.release(l)
	})
}

func TestNothingIsAttemptedBeforeReconciling(t *testing.T) {
	play(t, func(s *scene) {
		p := s.party("p")
		s.release(p.acquire("n"))
		p.store.meets("Acquire", loseReply)
		p.store.alwaysMeets(fail, "Reconcile")
		p.store.log()
		require.ErrorIs(s, p.try("n").refused(), errWire)
		require.ErrorIs(s, p.try("m").refused(), errWire)
		assert.NotContains(s, p.store.log()[1:], "Acquire")

		p.store.alwaysMeets(nil, "Reconcile")
		s.pass(time.Second)
		assert.Equal(s, "Reconcile", p.store.log()[0], "it is tried again in the background")
		s.free("n")
		s.release(p.acquire("n"), p.acquire("m"))
	})
}

// What was granted since a reconcile was sent is unknown to it.
func TestReconcileThatArrivesLateTakesNothing(t *testing.T) {
	play(t, func(s *scene) {
		p, other, late := s.party("p"), s.party("other"), newGate()
		kept := p.acquire("kept")
		p.store.meets("Reconcile", late.late)
		p.engine.Interrupted()
		s.pass(time.Second)
		require.Equal(s, 2, p.store.count("Reconcile"))
		l := p.acquire("n")
		w := other.begin(s.Context(), "n")
		late.pass()
		require.NoError(s, l.Err())
		require.False(s, w.ended(), "a second holder")
		s.pass(ttl)
		require.NoError(s, l.Err())
		s.release(l, kept)
		s.release(w.granted())
	})
}

// A standby that lags has not heard of the lock.
func TestLockThatVerifyCallsLostIsGivenUp(t *testing.T) {
	play(t, func(s *scene) {
		p := s.party("p")
		kept, l := p.acquire("kept"), p.acquire("n")
		p.store.meets("Verify", func(context.Context, func()) error { return nil })
		require.ErrorIs(s, l.Verify(s.Context()), sqllock.ErrLost)
		s.pass(time.Second)
		require.Empty(s, s.table.holders("n"))
		require.NoError(s, kept.Err())
		s.release(kept)
	})
}

// The epoch is another than its engine knows.
func TestReconcileAfterALostReplySucceeds(t *testing.T) {
	play(t, func(s *scene) {
		p := s.party("p")
		l := p.acquire("n")
		p.store.meets("Reconcile", loseReply)
		p.engine.Interrupted()
		s.pass(time.Second)
		require.Equal(s, 3, p.store.count("Reconcile"))
		require.NoError(s, l.Verify(s.Context()))
		s.release(l, p.acquire("m"))
	})
}

func TestReconcilingFindsThatTheSessionIsGone(t *testing.T) {
	play(t, func(s *scene) {
		p := s.party("p")
		held := p.acquire("held")
		s.table.evict()
		p.store.meets("Acquire", fail)
		l := p.acquire("n")
		assert.ErrorIs(s, held.Err(), sqllock.ErrEvicted)
		assert.NoError(s, l.Verify(s.Context()), "the next one goes to a new session")
		assert.Equal(s, 2, p.store.count("Open"))
	})
}

func TestPermanentErrorIsNotRepeated(t *testing.T) {
	play(t, func(s *scene) {
		p := s.party("p")
		s.release(p.acquire("n"))
		p.store.log()
		p.store.meets("Acquire", failForGood)
		require.ErrorIs(s, p.try("n").refused(), errPermanent)
		assert.Equal(s, []string{"Acquire", "Reconcile"}, p.store.log())
	})
}

// A failure of Open says nothing about any session that we know.
func TestLostReplyToOpenCostsNothing(t *testing.T) {
	play(t, func(s *scene) {
		p := s.party("p")
		p.store.meets("Open", loseReply)
		s.release(p.acquire("n"))
		assert.Equal(s, 2, p.store.count("Open"))
		assert.Zero(s, p.store.count("Reconcile"))
	})
}

func TestOutageEndsEveryWaitForIt(t *testing.T) {
	play(t, func(s *scene) {
		p := s.party("p")
		p.store.alwaysMeets(fail, "Open")
		start := s.Now()
		require.ErrorIs(s, p.try("n").refused(), errWire)
		_, err := p.client.Acquire(s.Context(), "n")
		require.ErrorIs(s, err, errWire)
		assert.Equal(s, start, s.Now(), "the first attempt says so at once")
	})
}

// An answer under way when others raise the epoch again.
func TestEpochRaisedWhileReconciling(t *testing.T) {
	play(t, func(s *scene) {
		p, slow := s.party("p"), newGate()
		first, second, third := p.acquire("first"), p.acquire("second"), p.acquire("third")
		p.store.meets("Reconcile", slow.slowReply)
		s.table.force("first", true)
		s.pass(0)
		s.table.force("second", true)
		slow.pass()
		assert.ErrorIs(s, first.Err(), sqllock.ErrForced)
		assert.ErrorIs(s, second.Err(), sqllock.ErrForced)
		assert.NoError(s, third.Err())
		assert.Equal(s, 2, p.store.count("Reconcile"))
	})
}
