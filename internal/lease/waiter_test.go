package lease

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sqllock/toolkit/sqllock"
)

// waits begins a wait, past the single attempt that a Client makes first.
func (p *party) waits(ctx context.Context, name string) chan error {
	done := make(chan error, 1)
	go func() {
		_, err := p.engine.Wait(ctx, p.scene.request(name, p.scene.witness()))
		done <- err
	}()
	p.scene.pass(0)
	return done
}

func TestWaiterIsEnlistedBeforeItTries(t *testing.T) {
	play(t, func(s *scene) {
		p, holder := s.party("p"), s.party("holder")
		p.acquire("session")
		l := holder.acquire("n")
		p.store.log()
		w := p.waits(s.Context(), "n")
		assert.Equal(s, []string{"Enlist", "Acquire"}, p.store.log())
		sent := p.store.sent()
		last := sent[len(sent)-1]
		assert.Equal(s, s.table.waiters("n"), []int64{last.Wants[0].Waiter})

		start := s.Now()
		s.release(l)
		require.NoError(s, <-w)
		assert.Equal(s, start, s.Now(), "it was pushed to")
		require.Empty(s, s.table.waiters("n"))
	})
}

func TestWaitersAreServedInTheOrderTheyCame(t *testing.T) {
	play(t, func(s *scene) {
		l := s.party("holder").acquire("n")
		var waits []*acquisition
		for _, name := range []string{"first", "second", "third"} {
			waits = append(waits, s.party(name).begin(s.Context(), "n"))
		}
		for i, w := range waits {
			s.release(l)
			l = w.granted()
			for _, later := range waits[i+1:] {
				require.False(s, later.ended())
			}
		}
		s.release(l)
	})
}

// The push is older than the answer "held" that arrives after it, so the answer is not believed.
func TestPushDuringTheAttemptIsNotLost(t *testing.T) {
	play(t, func(s *scene) {
		p, holder, slow := s.party("p"), s.party("holder"), newGate()
		p.acquire("session")
		l := holder.acquire("n")
		p.store.meets("Acquire", slow.slowReply)
		w := p.waits(s.Context(), "n")
		s.release(l)
		start := s.Now()
		slow.pass()
		require.NoError(s, <-w)
		assert.Equal(s, start, s.Now())
	})
}

func TestWatchingMakesEveryWaiterTryAgain(t *testing.T) {
	play(t, func(s *scene) {
		p, holder := s.party("p"), s.party("holder")
		p.store.mute = true
		l, m := holder.acquire("n"), holder.acquire("m")
		wn, wm := p.waits(s.Context(), "n"), p.waits(s.Context(), "m")
		s.release(l, m)
		s.pass(0)
		require.Empty(s, wn, "nothing was pushed")
		require.Empty(s, wm)
		start := s.Now()
		p.engine.Watching()
		require.NoError(s, <-wn)
		require.NoError(s, <-wm)
		assert.Equal(s, start, s.Now())
	})
}

func TestWakingSomebodyUnknown(t *testing.T) {
	play(t, func(s *scene) {
		p := s.party("p")
		l := p.acquire("n")
		n := len(p.store.sent())
		p.engine.Woken(4711)
		s.pass(0)
		assert.Len(s, p.store.sent(), n)
		s.release(l)
	})
}

func TestWithoutPushesWaitersPoll(t *testing.T) {
	play(t, func(s *scene) {
		p, holder := s.party("p"), s.party("holder")
		p.store.mute = true
		l := holder.acquire("n")
		w := p.waits(s.Context(), "n")
		s.release(l)
		start := s.Now()
		require.NoError(s, <-w)
		assert.LessOrEqual(s, s.Now()-start, poll)
	})
}

// A holder that died pushes nothing: what is known of its lease says when to try again.
func TestWaiterSleepsUntilTheLeaseInItsWayEnds(t *testing.T) {
	play(t, func(s *scene) {
		p, dead := s.party("p"), s.party("dead")
		dead.store.alwaysMeets(fail, "Renew", "End")
		l := dead.acquire("n")
		p.acquire("session")
		start := s.Now()
		w := p.waits(s.Context(), "n")
		tried := len(p.store.sent())
		require.NoError(s, <-w)
		took := s.Now() - start
		assert.GreaterOrEqual(s, took, ttl)
		assert.Less(s, took, ttl+10*time.Millisecond)
		assert.LessOrEqual(s, len(p.store.sent())-tried, 2, "it slept meanwhile")
		assert.ErrorIs(s, l.Err(), sqllock.ErrExpired)
	})
}

func TestFirstFailureOfAWaitIsRepeated(t *testing.T) {
	play(t, func(s *scene) {
		p, holder := s.party("p"), s.party("holder")
		l := holder.acquire("n")
		p.acquire("session")
		for _, method := range []string{"Enlist", "Acquire"} {
			p.store.log()
			p.store.meets(method, loseReply)
			start := s.Now()
			ctx, leave := context.WithCancel(s.Context())
			w := p.waits(ctx, "n")
			require.Empty(s, w)
			require.Equal(s, start, s.Now())
			calls := p.store.log()
			assert.Equal(s, []string{"Reconcile", "Enlist", "Acquire"}, calls[len(calls)-3:], "after a lost reply to %s", method)
			assert.Len(s, s.table.waiters("n"), 1, "a row that nobody knows of stands in nobody's way")
			leave()
			require.ErrorIs(s, <-w, sqllock.ErrNotAcquired, "the last word was that it is held")
		}
		s.release(l)
		s.free("n")
	})
}

// Attempts may go on failing where all else succeeds; nobody gains by trying without a pause.
func TestFailingAttemptsAreSpacedOut(t *testing.T) {
	play(t, func(s *scene) {
		p, holder := s.party("p"), s.party("holder")
		l := holder.acquire("n")
		p.acquire("session")
		p.store.alwaysMeets(func(context.Context, func()) error {
			if p.store.count("Acquire") > 1000 {
				return errPermanent // ends what would never end in a time that stands still
			}
			return errWire
		}, "Acquire")
		w := p.waits(s.Context(), "n")
		before := p.store.count("Acquire")
		s.pass(time.Minute)
		require.Empty(s, w)
		assert.InDelta(s, 80, p.store.count("Acquire")-before, 40)
		p.store.alwaysMeets(nil, "Acquire")
		s.pass(time.Second)
		require.Len(s, s.table.waiters("n"), 1)
		s.release(l)
		require.NoError(s, <-w)
	})
}

func TestWaitOutlivesAnOutage(t *testing.T) {
	play(t, func(s *scene) {
		p, holder := s.party("p"), s.party("holder")
		l := holder.acquire("n")
		w := p.waits(s.Context(), "n")
		p.store.alwaysMeets(fail, "Open", "Renew", "Reconcile", "Enlist", "Acquire", "End")
		s.pass(2 * ttl)
		require.Empty(s, w)
		p.store.alwaysMeets(nil, "Open", "Renew", "Reconcile", "Enlist", "Acquire", "End")
		s.pass(2 * time.Second)
		require.Len(s, s.table.waiters("n"), 1, "it stands in line again, soon after the database is back")
		start := s.Now()
		s.release(l)
		require.NoError(s, <-w)
		assert.Equal(s, start, s.Now())
	})
}

// Nobody can push to a waiter whose row is gone.
func TestWaiterEnlistsAgainWhenItsSessionHasEnded(t *testing.T) {
	play(t, func(s *scene) {
		p, holder := s.party("p"), s.party("holder")
		l := holder.acquire("n")
		w := p.waits(s.Context(), "n")
		first := s.table.waiters("n")
		s.table.expire(p.soleSession())
		s.pass(ttl / 3)
		again := s.table.waiters("n")
		require.Len(s, again, 1)
		require.NotEqual(s, first, again)
		start := s.Now()
		s.release(l)
		require.NoError(s, <-w)
		assert.Equal(s, start, s.Now())
	})
}

func (p *party) soleSession() SessionID {
	ids, _ := p.engine.Sessions()
	require.Len(p.scene, ids, 1)
	return ids[0]
}

// The same, when the session ends while the attempt is under way and the answer is a refusal.
func TestRefusalForASessionThatHasEndedIsNotSleptOn(t *testing.T) {
	play(t, func(s *scene) {
		p, holder, slow := s.party("p"), s.party("holder"), newGate()
		l := holder.acquire("n")
		p.acquire("session")
		p.store.meets("Enlist", slow.slowReply)
		p.store.meets("Acquire", func(_ context.Context, carryOut func()) error {
			carryOut()
			return nil
		})
		w := p.waits(s.Context(), "n")
		p.engine.endSession(p.engine.current[ttl], sqllock.ErrExpired)
		slow.pass()
		assert.Len(s, s.table.waiters("n"), 1)
		start := s.Now()
		s.release(l)
		require.NoError(s, <-w)
		assert.Equal(s, start, s.Now())
	})
}

func TestPermanentErrorEndsAWait(t *testing.T) {
	play(t, func(s *scene) {
		p, holder := s.party("p"), s.party("holder")
		l := holder.acquire("n")
		p.store.meets("Enlist", failForGood)
		a := p.begin(s.Context(), "n")
		require.ErrorIs(s, a.refused(), errPermanent)
		require.NotErrorIs(s, a.err, sqllock.ErrNotAcquired)
		s.release(l)
	})
}

func TestWaitThatEndsInAnOutageSaysWhatFailed(t *testing.T) {
	play(t, func(s *scene) {
		p, holder := s.party("p"), s.party("holder")
		l := holder.acquire("n")
		a := p.begin(s.Context(), "n", sqllock.Wait(time.Minute))
		p.store.alwaysMeets(fail, "Renew", "Acquire", "Reconcile")
		p.engine.Watching()
		s.pass(time.Minute)
		require.ErrorIs(s, a.refused(), errWire)
		assert.NotErrorIs(s, a.err, sqllock.ErrNotAcquired)
		s.release(l)
	})
}

func TestWaitThatEndsAfterAnOutageSaysWhoHolds(t *testing.T) {
	play(t, func(s *scene) {
		p, holder := s.party("p"), s.party("holder")
		l := holder.acquire("n")
		a := p.begin(s.Context(), "n", sqllock.Wait(time.Minute))
		p.store.meets("Acquire", fail)
		p.engine.Watching()
		s.pass(time.Minute)
		var held *sqllock.HeldError
		require.ErrorAs(s, a.refused(), &held)
		assert.Equal(s, "holder", held.Owner)
		assert.NotErrorIs(s, a.err, errWire)
		s.release(l)
	})
}

// A resource that is locked for the moment is neither held nor free.
func TestBusyResourceIsTriedAgainSoon(t *testing.T) {
	play(t, func(s *scene) {
		p := s.party("p")
		s.release(p.acquire("n"))
		s.table.setBusy("n", true)
		time.AfterFunc(5*time.Millisecond, func() { s.table.setBusy("n", false) })
		start := s.Now()
		l, err := p.client.TryAcquire(s.Context(), "n")
		require.NoError(s, err)
		assert.Less(s, s.Now()-start, 50*time.Millisecond)
		s.release(l)
	})
}

func TestSingleAttemptAtABusyResourceIsPatientInTheEnd(t *testing.T) {
	play(t, func(s *scene) {
		p := s.party("p")
		s.release(p.acquire("n"), p.acquire("m"))
		s.table.setBusy("n", true)
		before := len(p.store.sent())
		_, err := p.client.TryAcquire(s.Context(), "n")
		var held *sqllock.HeldError
		require.ErrorAs(s, err, &held)
		assert.Equal(s, "a transaction", held.Detail)
		sent := p.store.sent()[before:]
		require.Len(s, sent, patientAfter+1)
		for i, b := range sent {
			assert.Equal(s, i == patientAfter, b.Patient)
		}

		a := p.begin(s.Context(), "n")
		s.pass(time.Minute)
		require.False(s, a.ended())
		s.table.setBusy("n", false)
		s.pass(poll)
		s.release(a.granted())
	})
}

func TestGrantThatOthersMayShareWakesThem(t *testing.T) {
	play(t, func(s *scene) {
		l := s.party("holder").acquire("n")
		var readers []*acquisition
		for _, name := range []string{"one", "two", "three"} {
			readers = append(readers, s.party(name).begin(s.Context(), "n", sqllock.Shared()))
		}
		start := s.Now()
		s.release(l)
		for _, r := range readers {
			r.granted()
		}
		assert.Equal(s, start, s.Now())
	})
}

// The name had no resource when it enlisted, and was taken by others before it tried.
func TestWaiterThatCouldNotEnlistYetDoesSoBeforeItSleeps(t *testing.T) {
	play(t, func(s *scene) {
		p, holder, slow := s.party("p"), s.party("holder"), newGate()
		p.acquire("session")
		p.store.meets("Acquire", slow.slowRequest)
		w := p.waits(s.Context(), "n")
		l := holder.acquire("n")
		slow.pass()
		require.Len(s, s.table.waiters("n"), 1)
		start := s.Now()
		s.release(l)
		require.NoError(s, <-w)
		assert.Equal(s, start, s.Now())
	})
}

// A waiter that nobody knows of would stand in everybody's way for as long as the session lives.
func TestEnlistThatArrivesLateAddsNothing(t *testing.T) {
	play(t, func(s *scene) {
		p, holder, late := s.party("p"), s.party("holder"), newGate()
		l := holder.acquire("n")
		p.acquire("session")
		p.store.meets("Enlist", late.late)
		w := p.waits(s.Context(), "n")
		late.pass()
		require.Len(s, s.table.waiters("n"), 1)
		s.release(l)
		require.NoError(s, <-w)
	})
}

// What a crash of the database has undone: places in line, and releases.
func TestInterruptionIsReconciled(t *testing.T) {
	play(t, func(s *scene) {
		p, holder := s.party("p"), s.party("holder")
		l, kept := holder.acquire("n"), p.acquire("kept")
		w := p.waits(s.Context(), "n")
		s.table.forgetWaiters("n")
		p.engine.Interrupted()
		s.pass(0)
		require.Len(s, s.table.waiters("n"), 1)
		start := s.Now()
		s.release(l)
		require.NoError(s, <-w)
		assert.Equal(s, start, s.Now())
		assert.NoError(s, kept.Err())
	})
}

func TestRenewalThatSucceedsAgainIsReconciled(t *testing.T) {
	play(t, func(s *scene) {
		p, holder := s.party("p"), s.party("holder")
		p.store.mute = true
		l := holder.acquire("n")
		w := p.waits(s.Context(), "n")
		s.table.forgetWaiters("n")
		p.store.meets("Renew", fail)
		s.pass(ttl/3 + ttl/12)
		require.Len(s, s.table.waiters("n"), 1)
		require.Equal(s, 1, p.store.count("Reconcile"))
		s.pass(ttl)
		require.Equal(s, 1, p.store.count("Reconcile"), "once")
		s.release(l)
		require.NoError(s, <-w)
	})
}
