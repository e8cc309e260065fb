package lease

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sqllock/toolkit/sqllock"
)

// idle requires that a party does nothing, and that nothing is arranged for it to do.
func (p *party) idle() {
	s := p.scene
	s.Helper()
	p.engine.mu.Lock()
	assert.False(s, p.engine.working, "the worker runs")
	assert.Nil(s, p.engine.watching, "it watches")
	p.engine.mu.Unlock()
	assert.Zero(s, p.store.watching(), "watches")
	assert.Zero(s, s.armedTimers(), "timers that are armed")
	p.store.log()
	s.pass(100 * ttl)
	assert.Empty(s, p.store.log(), "calls")
}

func TestNothingHeldCostsNothing(t *testing.T) {
	play(t, func(s *scene) {
		p := s.party("p")
		p.idle()
		l := p.acquire("n")
		require.Equal(s, 1, p.store.watching())
		s.pass(ttl)
		s.release(l)
		s.pass(ttl / 3)
		p.idle()
	})
}

func TestWaitersTimerEndsWithTheLastWaiter(t *testing.T) {
	play(t, func(s *scene) {
		p, holder := s.party("p"), s.party("holder")
		l := holder.acquire("n")
		a := p.begin(s.Context(), "n", sqllock.Wait(time.Second))
		s.pass(time.Second)
		require.ErrorIs(s, a.refused(), sqllock.ErrNotAcquired)
		s.release(l)
		s.pass(poll)
		p.idle()
	})
}

func TestWaitingKeepsTheSession(t *testing.T) {
	play(t, func(s *scene) {
		p, holder := s.party("p"), s.party("holder")
		l := holder.acquire("n")
		a := p.begin(s.Context(), "n")
		s.pass(10 * ttl)
		assert.Equal(s, 30, p.store.count("Renew"))
		s.release(l)
		s.release(a.granted())
		assert.Equal(s, 1, p.store.count("Open"))
	})
}

func TestFreshSessionIsUsedAgain(t *testing.T) {
	play(t, func(s *scene) {
		p := s.party("p")
		s.release(p.acquire("n"))
		s.pass(ttl/3 + time.Second)
		require.Zero(s, p.store.watching(), "it sleeps")
		l := p.acquire("n")
		assert.Equal(s, 1, p.store.count("Open"))
		assert.Equal(s, 1, p.store.watching())
		s.pass(10 * ttl)
		assert.NoError(s, l.Err(), "and is renewed")
		s.release(l)
	})
}

func TestStaleSessionIsReplaced(t *testing.T) {
	play(t, func(s *scene) {
		p := s.party("p")
		s.release(p.acquire("n"))
		s.pass(ttl * 2 / 3)
		l := p.acquire("n")
		assert.Equal(s, 2, p.store.count("Open"))
		assert.Len(s, s.table.living(), 1, "the old one is ended")
		s.pass(10 * ttl)
		assert.NoError(s, l.Err())
		s.release(l)
	})
}

// Its first renewal is due before the attempt that it was opened for has begun.
func TestSessionThatTookLongToOpenIsRenewed(t *testing.T) {
	for _, method := range []string{"Open", "Collect"} {
		t.Run("slow "+method, func(t *testing.T) {
			play(t, func(s *scene) {
				p, slow := s.party("p"), newGate()
				const short = 6 * time.Second
				p.store.meets(method, slow.slowReply)
				a := p.begin(s.Context(), "n", sqllock.TTL(short))
				s.pass(short * 3 / 4)
				slow.pass()
				l := a.granted()
				s.pass(10 * short)
				require.NoError(s, l.Err())
				assert.NoError(s, l.Verify(s.Context()))
				p.store.alwaysMeets(fail, "Renew")
				s.pass(short)
				select {
				case <-l.Done():
				default:
					s.Error("Done is open")
				}
			})
		})
	}
}

// What the collection of others' remains costs is not paid by who waits for a lock.
func TestCollectingDelaysNobody(t *testing.T) {
	play(t, func(s *scene) {
		p := s.party("p")
		p.store.meets("Collect", hang)
		start := s.Now()
		l := p.acquire("n")
		assert.Equal(s, start, s.Now())
		s.pass(callTimeout)
		s.release(l)
		assert.Equal(s, 1, p.store.count("Collect"))
	})
}

func TestOpenThatHangsFailsInTime(t *testing.T) {
	play(t, func(s *scene) {
		p := s.party("p")
		p.store.alwaysMeets(hang, "Open")
		start := s.Now()
		_, err := p.client.TryAcquire(s.Context(), "n")
		require.ErrorIs(s, err, context.DeadlineExceeded)
		require.NotErrorIs(s, err, sqllock.ErrNotAcquired)
		assert.Equal(s, 2*callTimeout, s.Now()-start)
	})
}
