package lease

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sqllock/toolkit/sqllock"
)

var errLeft = errors.New("the caller has left")

func TestWhoLeavesBeforeTheAnswerGivesTheGrantBack(t *testing.T) {
	play(t, func(s *scene) {
		p, slow := s.party("p"), newGate()
		s.release(p.acquire("n"))
		p.store.meets("Acquire", slow.slowReply)
		ctx, leave := context.WithCancelCause(s.Context())
		a := p.begin(ctx, "n")
		require.Len(s, s.table.holders("n"), 1)
		leave(errLeft)
		require.ErrorIs(s, a.refused(), errLeft)
		require.NotErrorIs(s, a.err, sqllock.ErrNotAcquired)
		slow.pass()
		s.free("n")
	})
}

func TestWhoLeavesWhileTheAttemptFailsLeavesNothing(t *testing.T) {
	play(t, func(s *scene) {
		p, slow := s.party("p"), newGate()
		kept := p.acquire("n")
		s.release(kept)
		p.store.meets("Acquire", func(ctx context.Context, carryOut func()) error {
			_ = slow.slowReply(ctx, carryOut)
			return errWire
		})
		ctx, leave := context.WithCancelCause(s.Context())
		a := p.begin(ctx, "n")
		leave(errLeft)
		require.ErrorIs(s, a.refused(), errLeft)
		slow.pass()
		s.free("n")
	})
}

func TestWaiterWhoLeavesTakesItsRowAlong(t *testing.T) {
	play(t, func(s *scene) {
		p, holder, behind := s.party("p"), s.party("holder"), s.party("behind")
		l := holder.acquire("n")
		ctx, leave := context.WithCancelCause(s.Context())
		a := p.begin(ctx, "n")
		require.Len(s, s.table.waiters("n"), 1)
		next := behind.begin(s.Context(), "n")
		leave(errLeft)
		require.ErrorIs(s, a.refused(), errLeft)
		var held *sqllock.HeldError
		require.ErrorAs(s, a.err, &held)
		assert.Equal(s, "holder", held.Owner)
		require.Len(s, s.table.waiters("n"), 1)
		s.release(l)
		s.release(next.granted())
	})
}

// Its place in the line is known to the database before the answer is known to us.
func TestWaiterWhoLeavesWhileItTries(t *testing.T) {
	for name, taken := range map[string]bool{"held by others": true, "granted": false} {
		t.Run(name, func(t *testing.T) {
			play(t, func(s *scene) {
				p, holder, slow := s.party("p"), s.party("holder"), newGate()
				l := holder.acquire("n")
				if !taken {
					s.release(l)
				}
				p.acquire("m")
				p.store.meets("Acquire", slow.slowReply)
				ctx, leave := context.WithCancel(s.Context())
				left := make(chan error)
				go func() {
					_, err := p.engine.Wait(ctx, s.request("n", s.witness()))
					left <- err
				}()
				s.pass(0)
				leave()
				require.ErrorIs(s, <-left, sqllock.ErrNotAcquired)
				slow.pass()
				require.Empty(s, s.table.waiters("n"))
				if taken {
					s.release(l)
				}
				s.free("n")
			})
		})
	}
}

func TestRowThatCouldNotBeRemovedIsRemovedLater(t *testing.T) {
	play(t, func(s *scene) {
		p, holder := s.party("p"), s.party("holder")
		l := holder.acquire("n")
		p.acquire("keeps the session")
		ctx, leave := context.WithCancel(s.Context())
		a := p.begin(ctx, "n")
		p.store.meets("Delist", fail, fail)
		leave()
		require.ErrorIs(s, a.refused(), context.Canceled)
		require.Len(s, s.table.waiters("n"), 1)
		s.pass(ttl)
		assert.Empty(s, s.table.waiters("n"))
		s.release(l)
	})
}

func TestWhoLeavesTheQueueIsNotTried(t *testing.T) {
	play(t, func(s *scene) {
		p, slow := s.party("p"), newGate()
		s.release(p.acquire("m"), p.acquire("n"))
		p.store.meets("Acquire", slow.slowRequest)
		p.try("m")
		ctx, leave := context.WithCancel(s.Context())
		a := p.begin(ctx, "n")
		leave()
		require.ErrorIs(s, a.refused(), context.Canceled)
		n := len(p.store.sent())
		slow.pass()
		assert.Len(s, p.store.sent(), n)
	})
}
