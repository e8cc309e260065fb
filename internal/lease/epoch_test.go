package lease

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sqllock/toolkit/sqllock"
)

func TestOnlyWhatWasTakenByForceIsLost(t *testing.T) {
	for name, pushed := range map[string]bool{"pushed": true, "found by the renewal": false} {
		t.Run(name, func(t *testing.T) {
			play(t, func(s *scene) {
				p := s.party("p")
				taken, kept, shared := p.acquire("taken"), p.acquire("kept"), p.acquire("shared", sqllock.Shared())
				s.table.force("taken", pushed)
				if pushed {
					s.pass(0)
				} else {
					s.pass(ttl / 3)
				}
				select {
				case <-taken.Done():
				default:
					s.Error("Done is open")
				}
				require.ErrorIs(s, taken.Err(), sqllock.ErrLost)
				require.ErrorIs(s, taken.Err(), sqllock.ErrForced)
				require.NoError(s, kept.Err())
				require.NoError(s, shared.Err())
				assert.Equal(s, 1, p.store.count("Reconcile"))

				s.pass(ttl)
				assert.Equal(s, 1, p.store.count("Reconcile"), "our own epoch is no news")
				again := p.acquire("taken")
				assert.ErrorIs(s, taken.Err(), sqllock.ErrForced, "another holder of this process changes nothing")
				s.release(again, kept, shared)
			})
		})
	}
}

func TestVerifyFindsWhatWasTakenByForce(t *testing.T) {
	play(t, func(s *scene) {
		p := s.party("p")
		taken, kept := p.acquire("taken"), p.acquire("kept")
		s.table.force("taken", false)
		assert.ErrorIs(s, taken.Verify(s.Context()), sqllock.ErrLost)
		assert.NoError(s, kept.Verify(s.Context()))
		assert.ErrorIs(s, taken.Err(), sqllock.ErrLost)
	})
}

func TestObservingASessionOfOthersIsNoNews(t *testing.T) {
	play(t, func(s *scene) {
		p := s.party("p")
		l := p.acquire("n")
		p.engine.Observed(l.Hold().(*Hold).Session()+1, 7)
		p.engine.Observed(l.Hold().(*Hold).Session(), 0)
		s.pass(0)
		assert.Zero(s, p.store.count("Reconcile"))
	})
}
