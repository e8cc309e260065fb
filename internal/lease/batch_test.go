package lease

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sqllock/toolkit/sqllock"
)

// tryAll makes one attempt at each name while the worker is busy, so that all gather in its queue.
func (p *party) tryAll(names []string) (holds []sqllock.Hold) {
	s := p.scene
	s.release(p.acquire("blocker"))
	slow := newGate()
	p.store.meets("Acquire", slow.slowRequest)
	blocker := p.try("blocker")
	var mu sync.Mutex
	var all sync.WaitGroup
	for _, name := range names {
		all.Go(func() {
			var results [1]sqllock.Result
			p.engine.Try(s.Context(), []*sqllock.Request{s.request(name, s.witness())}, results[:])
			if results[0].Err == nil {
				mu.Lock()
				defer mu.Unlock()
				holds = append(holds, results[0].Hold)
			}
		})
	}
	s.pass(0)
	p.store.mu.Lock()
	p.store.batches = nil
	p.store.mu.Unlock()
	slow.pass()
	all.Wait()
	s.release(blocker.granted())
	return holds
}

func TestManyAttemptsAreFewBatches(t *testing.T) {
	play(t, func(s *scene) {
		p := s.party("p")
		const n = 2*maxBatch + 10
		require.Len(s, p.tryAll(names(n)), n)
		sent := p.store.sent()
		total := 0
		for _, b := range sent {
			total += len(b.Wants)
			assert.LessOrEqual(s, len(b.Wants), maxBatch)
		}
		assert.LessOrEqual(s, len(sent), 5)
		assert.LessOrEqual(s, total, 2*n, "each name is tried once, and once more after it was seeded")
	})
}

// Lanes end before anything else begins: to reconcile after the failure of one would take away what another is being granted.
func TestLargeBatchTakesLanesAndWaitsForAll(t *testing.T) {
	play(t, func(s *scene) {
		p := s.party("p")
		p.store.lanes = 2
		all := names(2 * laneSize)
		for _, name := range append(all, "blocker") {
			s.release(p.acquire(name))
		}
		slow, slower := newGate(), newGate()
		p.store.meets("Acquire", slow.slowRequest, loseReply)
		p.store.meets("Acquire in lane 1", slower.slowReply)
		blocker := p.try("blocker")
		var tries []*acquisition
		for _, name := range all {
			tries = append(tries, p.try(name))
		}
		p.store.log()
		slow.pass()
		first := blocker.granted()
		assert.ElementsMatch(s, []string{"Acquire", "Acquire in lane 1"}, p.store.log(), "one has failed, and the other is under way")
		slower.pass()
		assert.Contains(s, p.store.log(), "Reconcile")
		var held []*sqllock.Lock
		for i, a := range tries {
			l := a.granted()
			require.NoError(s, l.Err())
			assert.Len(s, s.table.holders(all[i]), 1)
			held = append(held, l)
		}
		for _, l := range held {
			require.NoError(s, l.Verify(s.Context()))
		}
		s.release(append(held, first)...)
	})
}

// Who is answered together asks together: with round trips of one length, sixteen goroutines that acquire and release take two each time, and not the three or
// four of those who have just missed one.
func TestWhoIsAnsweredTogetherTravelsTogether(t *testing.T) {
	play(t, func(s *scene) {
		p := s.party("p")
		all := names(16)
		for _, name := range all {
			s.release(p.acquire(name))
		}
		p.store.alwaysMeets(func(_ context.Context, carryOut func()) error {
			time.Sleep(time.Millisecond)
			carryOut()
			return nil
		}, "Acquire", "Release")
		const cycles = 200
		trips := func() int {
			p.store.log()
			var goroutines sync.WaitGroup
			for _, name := range all {
				goroutines.Go(func() {
					for range cycles {
						l, err := p.client.Acquire(s.Context(), name)
						if assert.NoError(s, err) {
							assert.NoError(s, l.Release(s.Context()))
						}
					}
				})
			}
			goroutines.Wait()
			return len(p.store.log())
		}
		fewest := trips()
		for again := 0; again < 10 && fewest >= 5*cycles/2; again++ { // on a busy machine who is answered may not run at once
			fewest = min(fewest, trips())
		}
		assert.Less(s, fewest, 5*cycles/2)
	})
}

// What lies behind a refusal is given back, and found lost while that is under way; then the same Lock is granted the name again.
func TestSetSurvivesTheLossOfWhatItGivesBack(t *testing.T) {
	play(t, func(s *scene) {
		p, other := s.party("p"), s.party("other")
		first := other.acquire("a")
		kept := p.acquire("kept")
		s.release(p.acquire("b"))
		p.store.meets("Release", func(_ context.Context, carryOut func()) error {
			carryOut()
			p.engine.Interrupted()
			return errWire
		})
		var set *sqllock.Set
		var err error
		var assembling sync.WaitGroup
		assembling.Go(func() { set, err = p.client.AcquireAll(s.Context(), []string{"a", "b"}) })
		s.pass(time.Second)
		s.release(first)
		assembling.Wait()
		require.NoError(s, err)
		require.NoError(s, set.Release(s.Context()))
		require.Empty(s, s.table.holders("b"))
		s.release(kept)
	})
}

// A statement cannot grant one row twice.
func TestNameOccursOnceInABatch(t *testing.T) {
	play(t, func(s *scene) {
		p := s.party("p")
		require.Len(s, p.tryAll([]string{"n", "m", "n", "n", "m"}), 2)
		for _, b := range p.store.sent() {
			seen := make(map[string]bool)
			for _, w := range b.Wants {
				assert.False(s, seen[w.Name], "%s twice", w.Name)
				seen[w.Name] = true
			}
		}
	})
}

func TestEachTTLIsASession(t *testing.T) {
	play(t, func(s *scene) {
		p := s.party("p")
		a, b, c := p.acquire("a"), p.acquire("b", sqllock.TTL(time.Minute)), p.acquire("c")
		assert.Equal(s, 2, p.store.count("Open"))
		assert.Len(s, s.table.living(), 2)
		assert.Equal(s, a.Hold().(*Hold).Session(), c.Hold().(*Hold).Session())
		short, _ := a.Hold().Deadline()
		long, _ := b.Hold().Deadline()
		assert.Equal(s, (time.Minute-ttl)*9/10, long-short)

		p.store.alwaysMeets(fail, "Renew")
		s.pass(trust)
		assert.ErrorIs(s, a.Err(), sqllock.ErrExpired)
		assert.NoError(s, b.Err())
	})
}

func TestThereIsAnEndToTTLs(t *testing.T) {
	play(t, func(s *scene) {
		p := s.party("p")
		for i := range maxSessions {
			p.acquire(names(maxSessions)[i], sqllock.TTL(time.Minute+time.Duration(i)*time.Second))
		}
		_, err := p.client.Acquire(s.Context(), "n", sqllock.TTL(time.Hour))
		require.ErrorIs(s, err, sqllock.ErrInvalid)
		assert.NotErrorIs(s, err, sqllock.ErrNotAcquired)
		assert.Equal(s, maxSessions, p.store.count("Open"))
		s.release(p.acquire("n", sqllock.TTL(time.Minute)))
	})
}
