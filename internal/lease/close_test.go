package lease

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sqllock/toolkit/sqllock"
)

func TestCloseEndsEverything(t *testing.T) {
	play(t, func(s *scene) {
		p, other := s.party("p"), s.party("other")
		held, long := p.acquire("held"), p.acquire("long", sqllock.TTL(time.Hour))
		theirs := other.acquire("theirs")
		waiter := p.begin(s.Context(), "theirs")
		inLine := p.begin(s.Context(), "held")
		p.store.log()
		require.NoError(s, p.client.Close(s.Context()))
		assert.Equal(s, []string{"End", "End"}, p.store.log(), "nothing is begun any more")

		require.ErrorIs(s, waiter.refused(), sqllock.ErrClosed)
		require.ErrorIs(s, inLine.refused(), sqllock.ErrClosed)
		for _, l := range []*sqllock.Lock{held, long} {
			assert.ErrorIs(s, l.Err(), sqllock.ErrClosed)
			assert.NotErrorIs(s, l.Err(), sqllock.ErrLost)
			assert.NoError(s, l.Release(s.Context()))
		}
		s.free("held")
		s.free("long")
		require.Empty(s, s.table.waiters("theirs"))
		assert.Len(s, s.table.living(), 1)
		assert.True(s, p.store.closed)
		assert.Zero(s, p.store.watching())

		_, err := p.client.Acquire(s.Context(), "n")
		require.ErrorIs(s, err, sqllock.ErrClosed)
		var results [1]sqllock.Result
		p.engine.Try(s.Context(), []*sqllock.Request{s.request("n", s.witness())}, results[:])
		require.ErrorIs(s, results[0].Err, sqllock.ErrClosed)
		require.NoError(s, p.client.Close(s.Context()))
		s.release(theirs)
	})
}

func TestCloseLeavesNothingArmed(t *testing.T) {
	play(t, func(s *scene) {
		p := s.party("p")
		p.acquire("n")
		p.begin(s.Context(), "n")
		require.NoError(s, p.client.Close(s.Context()))
		assert.Zero(s, s.armedTimers())
	})
}

// An answer that arrives while it closes.
func TestGrantDuringCloseIsGivenBack(t *testing.T) {
	play(t, func(s *scene) {
		p, slow := s.party("p"), newGate()
		s.release(p.acquire("n"))
		p.store.meets("Acquire", slow.slowReply)
		a := p.begin(s.Context(), "n")
		queued := p.begin(s.Context(), "m")
		closed := make(chan error, 1)
		go func() { closed <- p.client.Close(s.Context()) }()
		synctest.Wait()
		require.ErrorIs(s, queued.refused(), sqllock.ErrClosed, "it does not wait for the database")
		slow.pass()
		require.NoError(s, <-closed)
		require.ErrorIs(s, a.refused(), sqllock.ErrClosed)
		s.free("n")
		assert.Empty(s, s.table.living())
	})
}

func TestSessionOpenedDuringCloseIsEnded(t *testing.T) {
	play(t, func(s *scene) {
		p, slow := s.party("p"), newGate()
		p.store.meets("Open", slow.slowReply)
		a := p.begin(s.Context(), "n")
		closed := make(chan error, 1)
		go func() { closed <- p.client.Close(s.Context()) }()
		synctest.Wait()
		slow.pass()
		require.NoError(s, <-closed)
		require.ErrorIs(s, a.refused(), sqllock.ErrClosed)
		assert.Empty(s, s.table.living())
		assert.Zero(s, s.armedTimers())
	})
}

func TestCloseIsBoundedWhenNothingAnswers(t *testing.T) {
	play(t, func(s *scene) {
		p := s.party("p")
		l := p.acquire("n")
		for i := range 5 {
			p.acquire(names(5)[i], sqllock.TTL(time.Hour+time.Duration(i)*time.Second))
		}
		p.store.alwaysMeets(hang, "End", "Acquire", "Release", "Reconcile", "Renew")
		a := p.begin(s.Context(), "m")
		start := s.Now()
		err := p.client.Close(s.Context())
		require.Error(s, err)
		assert.ErrorContains(s, err, "expires by itself")
		assert.LessOrEqual(s, s.Now()-start, 10*time.Second)
		assert.ErrorIs(s, a.refused(), sqllock.ErrClosed)
		assert.ErrorIs(s, l.Err(), sqllock.ErrClosed)
	})
}

// A connection that broke while it was idle is found out by the first use, which must not be why a lock stays held.
func TestCloseTriesTwiceToEndASession(t *testing.T) {
	play(t, func(s *scene) {
		p := s.party("p")
		p.acquire("n")
		p.store.meets("End", fail)
		require.NoError(s, p.client.Close(s.Context()))
		s.free("n")
	})
}

func TestSessionThatCouldNotBeEndedIsEndedLater(t *testing.T) {
	play(t, func(s *scene) {
		p := s.party("p")
		l := p.acquire("n")
		p.store.alwaysMeets(hang, "Renew")
		p.store.meets("End", fail, fail, fail)
		s.pass(trust)
		require.ErrorIs(s, l.Err(), sqllock.ErrExpired)
		require.Len(s, s.table.living(), 1)
		s.pass(3 * time.Second)
		assert.Empty(s, s.table.living())
	})
}

// A release that is to be repeated later does not wait for its bound.
func TestCloseEndsReleasesUnderWay(t *testing.T) {
	play(t, func(s *scene) {
		p := s.party("p")
		l := p.acquire("n")
		s.table.setGuarded("n", true)
		released := make(chan error, 1)
		go func() { released <- l.Release(s.Context()) }()
		synctest.Wait()
		s.table.setGuarded("n", false)
		require.NoError(s, p.client.Close(s.Context()))
		start := s.Now()
		require.ErrorIs(s, <-released, sqllock.ErrClosed)
		assert.Less(s, s.Now()-start, time.Second)
		s.free("n")
	})
}

// One that sleeps because the database had failed, and stands in no line.
func TestCloseWakesWhoSleepsAfterAFailure(t *testing.T) {
	play(t, func(s *scene) {
		p, holder := s.party("p"), s.party("holder")
		holder.acquire("n")
		p.acquire("session")
		p.store.alwaysMeets(fail, "Acquire")
		w := p.waits(s.Context(), "n")
		p.store.log()
		require.NoError(s, p.client.Close(s.Context()))
		require.ErrorIs(s, <-w, sqllock.ErrClosed)
		assert.Equal(s, []string{"End"}, p.store.log(), "nothing is begun any more")
	})
}
