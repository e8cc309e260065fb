package named

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/sqllock/toolkit/sqllock"
)

// waiter is somebody who waits for a key. The first of each key has a connection wait in the server, which hands the lock over the moment it is
// free, to those who wait in the order in which they came. Where there is no connection for that, because their number is limited or the server
// has none left, all such keys are tried now and then in one statement.
type waiter struct {
	req    *sqllock.Request
	failed error // the last attempt did, on the database

	hold  *Hold
	err   error
	ended bool
	done  chan struct{}
}

// Wait implements [sqllock.Session].
func (s *Session) Wait(ctx context.Context, req *sqllock.Request) (sqllock.Hold, error) {
	w := &waiter{req: req, done: make(chan struct{})}
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil, sqllock.ErrClosed
	}
	e := s.entry(req.Key)
	e.waiters = append(e.waiters, w)
	s.awaited[e] = struct{}{}
	if s.carrier == nil {
		s.dial() // which also polls, and calls off
	}
	s.parkFor(e)
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
			s.dismiss(e, w, nil, err)
		}
		s.unlock()
	}
	if w.err != nil {
		return nil, w.err
	}
	return w.hold, nil
}

// dismiss ends the waiting of w, once.
func (s *Session) dismiss(e *entry, w *waiter, h *Hold, err error) {
	w.ended, w.hold, w.err = true, h, err
	close(w.done)
	e.leave(w)
	if len(e.waiters) == 0 {
		delete(s.awaited, e)
		s.callOff(e)
	}
	s.follow(e)
}

// attempted takes in the outcome of an attempt that was made for those who wait.
func (s *Session) attempted(e *entry, h *Hold, err error) {
	switch {
	case h != nil && len(e.waiters) == 0:
		s.giveBack(h)
	case h != nil:
		w := e.waiters[0]
		h.req = w.req
		s.dismiss(e, w, h, nil)
	case errors.Is(err, sqllock.ErrNotAcquired):
		e.untroubled()
	default:
		s.trouble(e, err)
	}
}

// untroubled says that the database has answered those who wait for e, with a refusal.
func (e *entry) untroubled() {
	for _, w := range e.waiters {
		w.failed = nil
	}
}

// trouble tells those who wait for e that the database has failed: if that will not go away they wait no longer.
func (s *Session) trouble(e *entry, err error) {
	for _, w := range slices.Clone(e.waiters) {
		if w.failed = err; permanent(err) {
			s.dismiss(e, w, nil, err)
		}
	}
}

// contention is how long a key is taken for contended after somebody had to wait for it. Meanwhile whoever is going to wait does so at once, in
// the server's queue.
const contention = 50 * time.Millisecond

func (s *Session) contend(e *entry) { e.contended = s.now() + contention }

// startPolling has those try now and then who have no connection to wait on.
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
	for e := range s.awaited {
		if e.parked != nil {
			continue
		}
		s.parkFor(e)
		s.pollFor(e)
	}
}

// pollFor tries for those who wait for e without a connection.
func (s *Session) pollFor(e *entry) {
	if len(e.waiters) == 0 || e.parked != nil || s.closed {
		return
	}
	s.startPolling()
	if s.carrier != nil && e.busy == nil && e.hold == nil {
		s.begin(&op{kind: attempt, entry: e, key: e.key, req: e.waiters[0].req, polls: true})
	}
}
