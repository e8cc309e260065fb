package lease

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/sqllock/toolkit/sqllock"
)

// session is one row of the sessions table, and all that lives by it. It is opened by the first attempt that needs it,
// renewed while anything is held or waited for, and ended once and for all: nothing is ever resurrected.
type session struct {
	engine *Engine
	id     SessionID
	ttl    time.Duration

	// deadline is the instant, as the engine's clock counts, from which the row may have expired: measured from before the
	// request that moved the expiry was sent, less a margin for clocks that run at different rates.
	deadline atomic.Int64
	ended    atomic.Pointer[ending]

	// Guarded by Engine.mu.
	epoch       int64 // as we have set it
	observed    int64 // the latest that the database had
	holds       map[Ref]*Hold
	waiting     int   // waiters and attempts under way
	doubtful    bool  // the database may hold more or less for us than we know
	reconciling bool  // that is being found out
	unreachable error // why it could not be; nothing is attempted meanwhile
	dormant     bool  // not renewed, because nothing needs it
	shaken      bool  // a renewal has failed: the database may have crashed, and undone what need not be durable
	renewal     sqllock.Timer
	expiry      sqllock.Timer
}

type ending struct{ reason error }

// margin is the part of a TTL by which this process considers a lease over before the database may: a tenth covers
// clocks whose rates differ by far more than real ones do, and the time a timer needs to fire.
func margin(ttl time.Duration) time.Duration { return ttl / 10 }

// err is nil while the session is certainly alive.
func (s *session) err() error {
	if end := s.ended.Load(); end != nil {
		return end.reason
	}
	if s.engine.clock.Now() < time.Duration(s.deadline.Load()) {
		return nil
	}
	s.expire()
	if end := s.ended.Load(); end != nil {
		return end.reason
	}
	return nil
}

// expire ends the session if its deadline has passed. Like extend it decides under the lock: an answer that was given
// stands, even if the reply to a renewal arrives a moment later.
func (s *session) expire() {
	e := s.engine
	e.mu.Lock()
	left := time.Duration(s.deadline.Load()) - e.clock.Now()
	if left > 0 {
		if s.ended.Load() == nil && !s.dormant {
			s.expiry.Reset(left)
		}
		e.mu.Unlock()
		return
	}
	lost := e.endLocked(s, sqllock.ErrExpired)
	e.mu.Unlock()
	e.mourn(s, lost, sqllock.ErrExpired)
}

// extend records that the row's expiry was moved by a request sent at the given instant.
func (s *session) extend(sent time.Duration) bool {
	e := s.engine
	e.mu.Lock()
	defer e.mu.Unlock()
	if s.ended.Load() != nil {
		return false
	}
	s.deadline.Store(int64(sent + s.ttl - margin(s.ttl)))
	s.armLocked()
	return true
}

// armLocked sets the timers of a session that is in use.
func (s *session) armLocked() {
	e := s.engine
	now := e.clock.Now()
	left := time.Duration(s.deadline.Load()) - now
	// The next renewal is due a third of the TTL after the request that confirmed this one was sent.
	due := max(left+margin(s.ttl)-2*s.ttl/3, 0)
	s.dormant = false
	if s.expiry == nil {
		s.expiry = e.clock.AfterFunc(left, s.expire)
		s.renewal = e.clock.AfterFunc(due, s.renew)
		return
	}
	s.expiry.Reset(left)
	s.renewal.Reset(due)
}

// renew moves the expiry, or lets the session sleep if nothing needs it. It runs in the goroutine of its timer, so a
// renewal that hangs delays neither the deadline nor any other work.
func (s *session) renew() {
	e := s.engine
	e.mu.Lock()
	if s.ended.Load() != nil {
		e.mu.Unlock()
		return
	}
	if len(s.holds) == 0 && s.waiting == 0 {
		s.dormant = true
		s.expiry.Stop()
		e.watchLocked()
		e.mu.Unlock()
		return
	}
	again := s.shaken
	e.renewals.Add(1)
	e.mu.Unlock()
	defer e.renewals.Done()

	sent := e.clock.Now()
	left := time.Duration(s.deadline.Load()) - sent
	ctx, cancel := context.WithTimeout(e.ctx, patience(s.ttl, left, again))
	epoch, err := e.store.Renew(ctx, s.id, s.ttl)
	cancel()
	switch {
	case errors.Is(err, ErrGone):
		e.endSession(s, sqllock.ErrEvicted)
	case err != nil:
		e.log.Warn("sqllock: renewal failed", slog.Int64("session", int64(s.id)), slog.Duration("left", left), slog.Any("error", err))
		e.mu.Lock()
		if s.ended.Load() == nil {
			s.shaken = true
			s.renewal.Reset(max(sent+s.ttl/12-e.clock.Now(), 0)) // at once, if time has passed already
		}
		e.mu.Unlock()
	default:
		if s.extend(sent) {
			e.Observed(s.id, epoch)
			s.settle()
		}
	}
}

// patience is how long a renewal may take. One that is not answered was most likely sent on a connection that has fallen silent, so the first gives up
// early. The next one has to connect anew, perhaps to the second host of two, and has most of what is left for that; most, because what it sends can be
// lost as well. A session whose TTL is long has no need to keep others from renewing on the connection that they share.
func patience(ttl, left time.Duration, again bool) time.Duration {
	left = max(left, 0)
	if again {
		return min(2*left/3, callTimeout)
	}
	return min(left, ttl/6, callTimeout)
}

// settle has a session reconciled whose renewals have begun to succeed again.
func (s *session) settle() {
	s.engine.mu.Lock()
	defer s.engine.mu.Unlock()
	if s.shaken {
		s.shaken = false
		s.engine.doubtLocked(s)
	}
}

// tell informs holders of their loss. No lock of the engine is held: they run code of others.
func tell(lost []*Hold, reason error) {
	for _, h := range lost {
		h.holder.Lost(reason)
	}
}
