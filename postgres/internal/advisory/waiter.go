package advisory

import (
	"context"
	"errors"
	"time"

	"github.com/sqllock/toolkit/sqllock"
)

// waiter is somebody who waits for a key. It sleeps until a release notifies the session, and tries again each poll interval, because those
// who crash, and transactions that end, notify nobody.
type waiter struct {
	session *Session
	entry   *entry
	req     *sqllock.Request
	yields  bool // to those who wait to lock exclusively, until one of them has had the lock
	trying  bool
	again   bool          // woken while an attempt was on its way
	pause   time.Duration // before the next attempt at what only a guard keeps
	failed  error         // the last attempt did, on the database

	hold  *Hold
	err   error
	ended bool
	done  chan struct{}
}

// The pauses between attempts at a lock that nobody holds but a guarded transaction, whose end nobody tells.
const (
	shortestPause = time.Millisecond
	longestPause  = 50 * time.Millisecond
)

// Wait implements [sqllock.Session].
func (s *Session) Wait(ctx context.Context, req *sqllock.Request) (sqllock.Hold, error) {
	w := &waiter{session: s, req: req, yields: req.Mode != sqllock.ModeExclusive, done: make(chan struct{})}
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil, sqllock.ErrClosed
	}
	w.entry = s.entry(keyOf(req))
	l := w.entry.queue()
	l.waiters = append(l.waiters, w)
	s.waiters++
	s.contend(w.entry)
	s.try(w)
	s.startPolling()
	s.startSentinel()
	s.unlock()

	select {
	case <-w.done:
	case <-ctx.Done():
		s.mu.Lock()
		if !w.ended {
			err := w.failed
			if err == nil {
				err = &sqllock.HeldError{Name: req.Name, Cause: context.Cause(ctx)}
			}
			s.end(w, nil, err)
		}
		s.unlock()
	}
	if w.err != nil {
		return nil, w.err
	}
	return w.hold, nil
}

// try makes an attempt for w, or another one after that which is on its way.
func (s *Session) try(w *waiter) {
	if w.trying {
		w.again = true
		return
	}
	w.trying, w.again = true, false
	s.submit(&op{kind: attempt, entry: w.entry, req: w.req, waiter: w})
}

// attempted takes in the outcome of an attempt.
func (s *Session) attempted(w *waiter, h *Hold, err error) {
	w.trying = false
	var held *sqllock.HeldError
	switch {
	case w.ended:
		if h != nil {
			s.giveBack(h)
		}
		s.leaveLine(w)
	case h != nil:
		s.end(w, h, nil)
	case errors.As(err, &held):
		w.failed = nil
		switch {
		case w.again:
			s.try(w)
		case held.Detail == detailGuarded && s.unguardedSoon(w):
		}
	case permanent(err):
		s.end(w, nil, err)
	default:
		w.failed = err // the next poll, or the next connection, tries again
	}
}

// unguardedSoon has w try again after a while that grows.
func (s *Session) unguardedSoon(w *waiter) bool {
	w.pause = min(max(2*w.pause, shortestPause), longestPause)
	s.cfg.Clock.AfterFunc(w.pause, func() {
		s.mu.Lock()
		defer s.unlock()
		if !w.ended && s.link != nil {
			s.try(w)
		}
	})
	return true
}

// end ends the waiting, once.
func (s *Session) end(w *waiter, h *Hold, err error) {
	w.ended, w.hold, w.err = true, h, err
	close(w.done)
	s.leaveLine(w)
}

// leaveLine strikes w off, and tells the server if nobody waits any more. After an exclusive grant that is left to the release: until
// then nobody can release anything that would wake us in vain.
func (s *Session) leaveLine(w *waiter) {
	l := w.entry.line
	if l.leave(w) {
		s.waiters--
	}
	if len(l.waiters) == 0 && l.enlisted && (w.hold == nil || w.hold.req.Mode != sqllock.ModeExclusive) {
		s.submit(&op{kind: delist, entry: w.entry})
	}
	s.follow(w.entry)
}

// contention is how long a key is taken for contended after somebody had to wait for it. Meanwhile whoever is going to wait enlists before the
// first attempt, and not before the second. Others who release and acquire in a loop then see them earlier, and it saves a round trip.
const contention = 50 * time.Millisecond

// contend marks a key as contended.
func (s *Session) contend(e *entry) {
	l := e.queue()
	if l.contended == 0 {
		s.cfg.Clock.AfterFunc(contention, func() { s.uncontend(e) })
	}
	l.contended = s.now() + contention
}

func (s *Session) uncontend(e *entry) {
	s.mu.Lock()
	defer s.unlock()
	if left := e.line.contended - s.now(); left > 0 {
		s.cfg.Clock.AfterFunc(left, func() { s.uncontend(e) })
		return
	}
	e.line.contended = 0
	s.follow(e)
}

// unlist takes the session off the list again if nobody has begun to wait after an attempt that has enlisted it.
func (s *Session) unlist(e *entry) {
	s.cfg.Clock.AfterFunc(contention, func() {
		s.mu.Lock()
		defer s.unlock()
		if l := e.line; s.entries[e.key] == e && e.count == 0 && l.enlisted && len(l.waiters) == 0 {
			s.submit(&op{kind: delist, entry: e})
		}
	})
}

// wake has those who wait for e try. writer says that somebody who had locked it exclusively has gone: it is the readers' turn.
func (s *Session) wake(e *entry, writer bool) {
	if e.line == nil {
		return
	}
	for _, w := range e.line.waiters {
		if writer {
			w.yields = false
		}
		s.try(w)
	}
}

// startPolling has those who wait try now and then, all at once.
func (s *Session) startPolling() {
	if s.polling || s.closed {
		return
	}
	s.polling = true
	// A fifth of the interval apart, so that processes that began to wait together do not stay together.
	d := s.cfg.Poll - time.Duration(s.cfg.Rand.Uint64()%uint64(s.cfg.Poll/5+1))
	if s.poll == nil {
		s.poll = s.cfg.Clock.AfterFunc(d, s.pollAll)
		return
	}
	s.poll.Reset(d)
}

func (s *Session) pollAll() {
	s.mu.Lock()
	defer s.unlock()
	s.polling = false
	if s.link == nil {
		return // those who wait try when there is a connection
	}
	for _, e := range s.entries {
		if e.line != nil && len(e.line.waiters) > 0 {
			s.startPolling()
			s.wake(e, false)
		}
	}
}
