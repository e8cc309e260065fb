package lease

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sqllock/toolkit/sqllock"
)

func TestSlowOpenDoesNotExtendTrust(t *testing.T) {
	play(t, func(s *scene) {
		p, slow := s.party("p"), newGate()
		p.store.meets("Open", slow.slowReply)
		sent := s.Now()
		a := p.begin(s.Context(), "n")
		s.pass(3 * time.Second)
		slow.pass()
		deadline, ok := a.granted().Hold().Deadline()
		require.True(s, ok)
		assert.Equal(s, sent+trust, deadline)
	})
}

func TestSlowRenewalDoesNotExtendTrust(t *testing.T) {
	play(t, func(s *scene) {
		p, slow := s.party("p"), newGate()
		l := p.acquire("n")
		p.store.meets("Renew", slow.slowReply)
		s.pass(ttl / 3)
		sent := s.Now()
		s.pass(3 * time.Second)
		require.Equal(s, 1, p.store.count("Renew"))
		slow.pass()
		deadline, _ := l.Hold().Deadline()
		assert.Equal(s, sent+trust, deadline)
		s.pass(ttl/3 - 3*time.Second)
		assert.Equal(s, 2, p.store.count("Renew"), "the next renewal is due a third of the TTL after the last was sent")
	})
}

func TestRenewalsKeepALockForLong(t *testing.T) {
	play(t, func(s *scene) {
		p := s.party("p")
		l := p.acquire("n")
		s.pass(100 * ttl)
		require.NoError(s, l.Err())
		assert.Equal(s, 300, p.store.count("Renew"))
		s.release(l)
	})
}

// A driver that does not even look at its context cannot hide the end.
func TestHungRenewalDoesNotHideTheDeadline(t *testing.T) {
	play(t, func(s *scene) {
		p, hung := s.party("p"), newGate()
		l := p.acquire("n")
		ctx, cancel := l.Context(s.Context())
		defer cancel()
		p.store.meets("Renew", hung.deaf)
		s.pass(trust - time.Nanosecond)
		require.Equal(s, 1, p.store.count("Renew"))
		require.NoError(s, l.Err())
		require.NoError(s, ctx.Err())

		s.pass(time.Nanosecond)
		for what, err := range map[string]error{"Err": l.Err(), "Context": context.Cause(ctx)} {
			assert.ErrorIs(s, err, sqllock.ErrLost, what)
			assert.ErrorIs(s, err, sqllock.ErrExpired, what)
		}
		select {
		case <-l.Done():
		default:
			s.Error("Done is open")
		}
		hung.pass()
	})
}

func TestRenewalConfirmedTooLateResurrectsNothing(t *testing.T) {
	play(t, func(s *scene) {
		p, slow := s.party("p"), newGate()
		l := p.acquire("n")
		p.store.meets("Renew", func(_ context.Context, carryOut func()) error {
			carryOut() // the database has renewed it, and nobody learns that in time
			<-slow.open
			return nil
		})
		s.pass(trust)
		require.ErrorIs(s, l.Err(), sqllock.ErrExpired)
		slow.pass()
		require.ErrorIs(s, l.Err(), sqllock.ErrExpired, "an answer is never taken back")
		assert.Empty(s, s.table.living(), "its row is ended, so that nobody waits for it")
		s.free("n")

		next := p.acquire("n")
		assert.NotEqual(s, l.Hold().(*Hold).Session(), next.Hold().(*Hold).Session())
		assert.Greater(s, next.Token(), l.Token())
		s.pass(ttl)
		assert.NoError(s, next.Err())
		s.release(next)
	})
}

// The clock is what is asked, because a process that was stopped runs no timers.
func TestErrReadsTheClock(t *testing.T) {
	play(t, func(s *scene) {
		p := s.party("p")
		l := p.acquire("n")
		s.suspend(trust - time.Nanosecond)
		require.NoError(s, l.Err())
		s.suspend(time.Nanosecond)
		assert.ErrorIs(s, l.Err(), sqllock.ErrExpired, "at the deadline itself it is over")
	})
}

// The answer was given by nothing but a look at the clock; then a renewal that had been under way is confirmed.
func TestLostIsSticky(t *testing.T) {
	play(t, func(s *scene) {
		p, slow := s.party("p"), newGate()
		l := p.acquire("n")
		hold := l.Hold()
		p.store.meets("Renew", slow.slowReply)
		s.pass(ttl / 3)
		s.suspend(trust)
		require.ErrorIs(s, hold.Err(), sqllock.ErrExpired)
		s.suspend(-trust) // if the clock alone decided, it would be held again
		require.ErrorIs(s, hold.Err(), sqllock.ErrExpired)
		slow.pass()
		assert.ErrorIs(s, hold.Err(), sqllock.ErrExpired)
		assert.ErrorIs(s, l.Release(s.Context()), sqllock.ErrExpired)
	})
}

// Timers of a machine that slept are late, and the first to run is the one that renews.
func TestStoppedProcessFindsItsLocksLost(t *testing.T) {
	play(t, func(s *scene) {
		p := s.party("p")
		l := p.acquire("n")
		s.suspend(ttl)
		s.pass(trust)
		select {
		case <-l.Done():
		default:
			s.Error("Done is open")
		}
		require.ErrorIs(s, l.Err(), sqllock.ErrLost)
		s.release(p.acquire("n"))
	})
}

func TestFailedRenewalIsRepeatedBeforeTheDeadline(t *testing.T) {
	play(t, func(s *scene) {
		p := s.party("p")
		l := p.acquire("n")
		p.store.meets("Renew", fail, loseReply, fail, nil, hang)
		s.pass(2 * ttl)
		require.NoError(s, l.Err())
		require.Greater(s, p.store.count("Renew"), 6)
		s.release(l)
	})
}

// The server that the connection led to is silent, and the one that has taken over takes its time to answer, since it is the second of two hosts.
func TestRenewalThatIsNotAnsweredLeavesTimeForAnother(t *testing.T) {
	play(t, func(s *scene) {
		p := s.party("p")
		l := p.acquire("n")
		p.store.meets("Renew", hang, func(ctx context.Context, carryOut func()) error {
			select {
			case <-time.After(callTimeout - time.Millisecond):
				carryOut()
				return nil
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		})
		s.pass(2 * ttl)
		require.NoError(s, l.Err())
		s.release(l)
	})
}

// Another attempt must follow even if the second is not answered either.
func TestRenewalsAreRepeatedUntilTheDeadline(t *testing.T) {
	play(t, func(s *scene) {
		p := s.party("p")
		l := p.acquire("n")
		p.store.meets("Renew", hang, hang)
		s.pass(2 * ttl)
		require.NoError(s, l.Err())
		s.release(l)
	})
}

func TestEvictedSessionIsLostAtTheNextRenewal(t *testing.T) {
	play(t, func(s *scene) {
		p := s.party("p")
		l, other := p.acquire("n"), p.acquire("m")
		s.table.evict()
		s.pass(ttl / 3)
		for _, l := range []*sqllock.Lock{l, other} {
			assert.ErrorIs(s, l.Err(), sqllock.ErrEvicted)
			assert.ErrorIs(s, l.Release(s.Context()), sqllock.ErrLost)
		}
	})
}

func TestHoldersAreToldOnce(t *testing.T) {
	play(t, func(s *scene) {
		p := s.party("p")
		p.acquire("warm") // so that there is a session
		w := s.witness()
		var results [1]sqllock.Result
		p.engine.Try(s.Context(), []*sqllock.Request{s.request("n", w)}, results[:])
		require.NoError(s, results[0].Err)
		require.NoError(s, w.reason())
		p.store.alwaysMeets(fail, "Renew")
		s.pass(trust)
		assert.ErrorIs(s, w.reason(), sqllock.ErrExpired)
		s.table.evict()
		s.pass(ttl)
		assert.NoError(s, w.reason())
	})
}
