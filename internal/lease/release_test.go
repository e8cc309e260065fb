package lease

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sqllock/toolkit/sqllock"
)

func TestLostReplyToReleaseIsNoLoss(t *testing.T) {
	play(t, func(s *scene) {
		p := s.party("p")
		l := p.acquire("n")
		p.store.meets("Release", loseReply)
		require.NoError(s, l.Release(s.Context()))
		assert.Equal(s, 2, p.store.count("Release"), "it was repeated, and found nothing")
		assert.NotErrorIs(s, l.Err(), sqllock.ErrLost)
		s.free("n")
	})
}

func TestReleaseIsRepeatedUntilItIsAnswered(t *testing.T) {
	play(t, func(s *scene) {
		p := s.party("p")
		l := p.acquire("n")
		p.store.meets("Release", fail, fail, fail, loseReply)
		start := s.Now()
		require.NoError(s, l.Release(s.Context()))
		assert.Less(s, s.Now()-start, time.Second)
		assert.Equal(s, 5, p.store.count("Release"))
		s.free("n")
	})
}

// The caller leaves at its bound; the release goes on without it.
func TestReleaseOutlivesItsCaller(t *testing.T) {
	play(t, func(s *scene) {
		p, other := s.party("p"), s.party("other")
		l := p.acquire("n")
		p.store.alwaysMeets(fail, "Release")
		start := s.Now()
		err := l.Release(s.Context())
		require.ErrorIs(s, err, errWire)
		require.NotErrorIs(s, err, sqllock.ErrLost)
		assert.Equal(s, 5*time.Second, s.Now()-start)
		assert.ErrorIs(s, l.Err(), sqllock.ErrReleased)
		require.ErrorIs(s, other.try("n").refused(), sqllock.ErrNotAcquired)

		p.store.alwaysMeets(nil, "Release")
		s.pass(ttl / 3)
		s.free("n")
	})
}

func TestReleaseThatIsNotAnsweredSaysSo(t *testing.T) {
	play(t, func(s *scene) {
		p, hung := s.party("p"), newGate()
		l := p.acquire("n")
		p.store.meets("Release", hung.deaf)
		err := l.Release(s.Context())
		require.ErrorIs(s, err, context.DeadlineExceeded)
		require.NotErrorIs(s, err, sqllock.ErrLost)
		assert.ErrorContains(s, err, "not confirmed the release in time")
		hung.pass()
		s.free("n")
	})
}

func TestReleaseOfWhatWasTakenByForce(t *testing.T) {
	play(t, func(s *scene) {
		p := s.party("p")
		l, kept := p.acquire("n"), p.acquire("kept")
		p.store.mute = true
		s.table.force("n", false) // which nobody has told us
		err := l.Release(s.Context())
		require.ErrorIs(s, err, sqllock.ErrLost)
		assert.ErrorIs(s, err, sqllock.ErrForced)
		assert.ErrorIs(s, l.Err(), sqllock.ErrForced)
		s.release(kept)
	})
}

// Known to be lost, so there is nothing to send.
func TestReleaseAfterALossSendsNothing(t *testing.T) {
	play(t, func(s *scene) {
		p := s.party("p")
		w := s.witness()
		var results [1]sqllock.Result
		p.engine.Try(s.Context(), []*sqllock.Request{s.request("n", w)}, results[:])
		require.NoError(s, results[0].Err)
		s.pass(0)
		s.table.force("n", true)
		require.ErrorIs(s, w.reason(), sqllock.ErrForced)
		var errs [1]error
		p.engine.Release(s.Context(), []sqllock.Hold{results[0].Hold}, errs[:])
		assert.ErrorIs(s, errs[0], sqllock.ErrForced)

		p.engine.Try(s.Context(), []*sqllock.Request{s.request("n", s.witness())}, results[:])
		require.NoError(s, results[0].Err)
		s.table.evict()
		s.pass(ttl / 3)
		p.engine.Release(s.Context(), []sqllock.Hold{results[0].Hold}, errs[:])
		assert.ErrorIs(s, errs[0], sqllock.ErrEvicted)
		assert.Zero(s, p.store.count("Release"))
	})
}

// A release that is repeated can never hit the row of the next holder.
func TestLateReleaseSparesTheNextHolder(t *testing.T) {
	play(t, func(s *scene) {
		p, other, late := s.party("p"), s.party("other"), newGate()
		l := p.acquire("n")
		p.store.meets("Release", late.late)
		s.release(l)
		next := other.acquire("n")
		late.pass()
		require.NoError(s, next.Verify(s.Context()))
		s.release(next)
	})
}

func TestGuardedReleaseFollowsTheGuard(t *testing.T) {
	play(t, func(s *scene) {
		p := s.party("p")
		l := p.acquire("n")
		s.table.setGuarded("n", true)
		time.AfterFunc(300*time.Millisecond, func() { s.table.setGuarded("n", false) })
		start := s.Now()
		require.NoError(s, l.Release(s.Context()))
		assert.GreaterOrEqual(s, s.Now()-start, 300*time.Millisecond)
		assert.Less(s, s.Now()-start, 360*time.Millisecond, "guards are short, so it looks often")
		s.free("n")
	})
}

func TestGuardedReleaseSaysWhyItIsLate(t *testing.T) {
	play(t, func(s *scene) {
		p := s.party("p")
		l := p.acquire("n")
		s.table.setGuarded("n", true)
		start := s.Now()
		err := l.Release(s.Context())
		require.ErrorIs(s, err, errGuarded)
		require.NotErrorIs(s, err, sqllock.ErrLost)
		assert.Equal(s, 5*time.Second, s.Now()-start)
		s.table.setGuarded("n", false)
		s.pass(time.Second)
		s.free("n")
	})
}

func TestReleaseEndsWithItsSession(t *testing.T) {
	play(t, func(s *scene) {
		p := s.party("p")
		l := p.acquire("n")
		p.store.alwaysMeets(fail, "Release", "Renew", "End")
		s.pass(trust - time.Second)
		err := l.Release(s.Context())
		assert.ErrorIs(s, err, sqllock.ErrLost, "it was not given up before the lease ran out")
		assert.ErrorIs(s, err, sqllock.ErrExpired)
		n := p.store.count("Release")
		s.pass(ttl)
		assert.Equal(s, n, p.store.count("Release"), "the end of the session does the rest")
	})
}

func TestReleasesShareOneStatement(t *testing.T) {
	play(t, func(s *scene) {
		p := s.party("p")
		set, err := p.client.AcquireAll(s.Context(), names(50))
		require.NoError(s, err)
		require.NoError(s, set.Release(s.Context()))
		assert.Equal(s, 1, p.store.count("Release"))

		slow := newGate()
		blocker := p.acquire("blocker")
		set, err = p.client.AcquireAll(s.Context(), names(2*maxBatch+1))
		require.NoError(s, err)
		p.store.log()
		p.store.meets("Release", slow.slowRequest)
		go func() { s.release(blocker) }()
		synctest.Wait()
		go func() { assert.NoError(s, set.Release(s.Context())) }()
		synctest.Wait()
		slow.pass()
		assert.Equal(s, []string{"Release", "Release", "Release", "Release"}, p.store.log(), "no transaction is larger than maxBatch")
	})
}
