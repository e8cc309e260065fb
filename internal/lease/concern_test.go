package lease

import (
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sqllock/toolkit/sqllock"
)

// The database grants, but before anybody here hears of it the session has ended. Its end frees what was granted.
func TestGrantOfASessionThatHasEndedIsNone(t *testing.T) {
	play(t, func(s *scene) {
		p, slow := s.party("p"), newGate()
		s.release(p.acquire("n"))
		p.store.meets("Acquire", slow.slowReply)
		a := p.begin(s.Context(), "n")
		synctest.Wait()
		ended := s.table.holders("n")
		require.Len(s, ended, 1)
		p.engine.endSession(p.engine.current[ttl], sqllock.ErrExpired)
		slow.pass()

		l := a.granted()
		assert.Greater(s, l.Token(), ended[0], "it was acquired anew")
		require.NoError(s, l.Err())
		require.NoError(s, l.Verify(s.Context()))
		s.release(l)
		s.free("n")
	})
}

// What one finds out by asking the others need not wait for a renewal to find out.
func TestVerifyTellsAllWhoAreConcerned(t *testing.T) {
	play(t, func(s *scene) {
		p := s.party("p")
		asks, other, kept := p.acquire("asks"), p.acquire("other"), p.acquire("kept")
		s.table.force("asks", false)
		s.table.force("other", false)
		require.ErrorIs(s, asks.Verify(s.Context()), sqllock.ErrLost)
		s.pass(0)
		assert.ErrorIs(s, other.Err(), sqllock.ErrForced)
		require.NoError(s, kept.Err())
		s.release(kept)
	})
}
