package advisory

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/sqllock/toolkit/sqllock"
)

// The pauses between attempts to connect while somebody waits, and how long an unused connection stays open.
const (
	shortestRedial = 10 * time.Millisecond
	longestRedial  = 2 * time.Second
	idleTimeout    = time.Minute
)

// dial begins to connect.
func (s *Session) dial() {
	if s.dialling || s.link != nil || s.closed && len(s.leaving) == 0 {
		return
	}
	s.dialling = true
	if s.redial != nil {
		s.redial.Stop()
	}
	s.dials.Go(func() {
		ctx, cancel := context.WithTimeout(s.life, s.cfg.Timeout)
		defer cancel()
		l, err := s.cfg.open(ctx, s.cfg.Clock)
		s.connected(l, err)
	})
}

// connected takes in a new connection, or that there is none.
func (s *Session) connected(l *link, err error) {
	s.mu.Lock()
	defer s.unlock()
	s.dialling = false
	if s.closed && err == nil {
		_ = l.conn.Close()
		err = sqllock.ErrClosed
	}
	if err != nil {
		s.unconnected(err)
		return
	}
	s.pause = 0
	s.link = l
	l.session, l.reading = s, true
	s.trip = 0
	s.busy = s.now()
	s.dials.Go(func() { l.read(s) })
	s.cfg.Clock.AfterFunc(s.cfg.ping(), func() { s.tick(l) })
	for _, e := range s.entries {
		s.wake(e, false)
	}
	if s.waiters > 0 {
		s.startPolling()
	}
}

// unconnected ends single attempts; those who wait go on, unless waiting cannot help.
func (s *Session) unconnected(err error) {
	unsent := slices.Concat(s.leaving, s.asking, s.entering)
	s.leaving, s.asking, s.entering = nil, nil, nil
	for _, o := range unsent {
		s.abort(o, err)
	}
	if s.closed {
		return
	}
	for _, e := range s.entries {
		if e.line == nil {
			continue
		}
		for _, w := range slices.Clone(e.line.waiters) {
			if w.failed = err; permanent(err) {
				s.end(w, nil, err)
			}
		}
	}
	s.dialLater()
}

// dialLater connects again after a pause that grows, if somebody waits.
func (s *Session) dialLater() {
	if s.waiters == 0 {
		return
	}
	s.pause = min(max(2*s.pause, shortestRedial), longestRedial)
	d := s.pause/2 + time.Duration(s.cfg.Rand.Uint64()%uint64(s.pause/2))
	s.redial = s.cfg.Clock.AfterFunc(d, func() {
		s.mu.Lock()
		defer s.unlock()
		s.dial()
	})
}

// abort ends an op that cannot be sent or was not answered.
func (s *Session) abort(o *op, err error) {
	e := o.entry
	if e != nil && e.busy == o {
		e.busy = nil
	}
	switch o.kind {
	case attempt:
		s.locks -= o.cost
		s.conclude(o, nil, err)
	case release:
		s.finish(o, fmt.Errorf("postgres: release: the session has ended, and the lock with it: %w", err))
	case unguarded:
		s.finish(o, err)
		s.forced(o)
	default:
		s.finish(o, err)
	}
	if e != nil {
		s.follow(e)
	}
}

// broken implements reader: whatever was held is lost, and those who wait go on waiting.
func (s *Session) broken(l *link, reason error) {
	s.mu.Lock()
	defer s.unlock()
	if s.link != l {
		return
	}
	reason = fmt.Errorf("postgres: the session has ended: %w", reason)
	s.cfg.Logger.Debug("sqllock: session ended", slog.Any("error", reason))
	var unanswered []*op
	if b := s.flying; b != nil {
		seen := make(map[*op]bool)
		for _, calls := range b.groups {
			for _, c := range calls {
				for _, o := range c.ops {
					if !seen[o] {
						seen[o] = true
						unanswered = append(unanswered, o)
					}
				}
			}
		}
	}
	for _, o := range unanswered {
		o.torn = true
	}
	unanswered = append(append(unanswered, s.leaving...), s.asking...)
	unsent := s.entering
	s.link, s.flying, s.leaving, s.entering, s.asking = nil, nil, nil, nil, nil
	s.check, s.ping = check{}, false

	for _, e := range s.entries {
		for h := e.holds; h != nil; h = h.next {
			if !h.leaving {
				s.losses = append(s.losses, loss{h.req.Holder, reason})
			}
			h.ended.CompareAndSwap(nil, &reason)
		}
		e.holds, e.count = nil, 0
		if e.line != nil {
			e.line.enlisted, e.line.intent, e.line.after = false, false, 0
			e.line.forced = nil
		}
	}
	s.locks = 0 // an op that follows one of these counts anew
	for _, o := range unanswered {
		o.cost = 0
		s.abort(o, reason)
	}
	for _, o := range unsent {
		o.entry.busy, o.tells, o.told = nil, false, false
	}
	for _, o := range unsent {
		s.submit(o)
	}
	for _, e := range s.entries {
		s.follow(e)
		if e.line != nil && permanent(reason) {
			for _, w := range slices.Clone(e.line.waiters) {
				s.end(w, nil, reason)
			}
		}
	}
	if s.waiters > 0 {
		s.dial()
	}
}

// tick sees to it that silence is noticed: it asks when nobody else has, and ends a session that does not answer.
func (s *Session) tick(l *link) {
	if err := l.err(); err != nil {
		l.end(s, err)
		return
	}
	next := s.cfg.ping() / 2
	s.mu.Lock()
	if s.link != l {
		s.mu.Unlock()
		return
	}
	s.ping = s.flying == nil && l.silence() >= next // so that no more than a ping interval passes between two commands
	s.name()
	if s.unused() {
		s.hangUp()
	}
	s.unlock()
	s.cfg.Clock.AfterFunc(min(next, max(l.limit-l.silence(), time.Millisecond)), func() { s.tick(l) })
}

// unused tells whether the connection has served nobody for a while.
func (s *Session) unused() bool {
	return len(s.entries) == 0 && s.flying == nil && !s.ping && len(s.forcing) == 0 && s.now()-s.busy > idleTimeout
}

// hangUp closes a connection that nobody needs.
func (s *Session) hangUp() {
	l := s.link
	s.link = nil
	_ = l.fail(errors.New("postgres: not used"))
}

// bye ends the session on the server before the connection: else that may take a moment to notice. What was granted while Close
// began is lost before the server frees it.
func (l *link) bye() {
	closed := sqllock.ErrClosed
	l.dead.CompareAndSwap(nil, &closed)
	message, _ := (&pgproto3.Terminate{}).Encode(nil)
	_, _ = l.conn.Write(message)
	_ = l.conn.Close()
}

// Close implements [sqllock.Session].
func (s *Session) Close(ctx context.Context) error {
	closed := sqllock.ErrClosed
	s.mu.Lock()
	s.closed = true
	drained := make(chan struct{})
	s.drained = drained
	unsent := s.entering
	s.entering = nil
	for _, o := range unsent {
		s.abort(o, closed)
	}
	for _, e := range s.entries {
		if e.line != nil {
			for _, w := range slices.Clone(e.line.waiters) {
				s.end(w, nil, closed)
			}
		}
		for h := e.holds; h != nil; h = h.next {
			if !h.leaving {
				h.ended.CompareAndSwap(nil, &closed)
				s.losses = append(s.losses, loss{h.req.Holder, closed})
				s.giveBack(h)
			}
		}
	}
	s.unlock()

	var err error
	select {
	case <-drained:
	case <-ctx.Done():
		err = fmt.Errorf("postgres: what was held is freed when the server notices that the connection has gone: %w", context.Cause(ctx))
	}
	s.quit(err)
	return err
}

// quit ends what is left when everything has been given up, or could not be.
func (s *Session) quit(err error) {
	s.die()
	s.mu.Lock()
	l := s.link
	if s.redial != nil {
		s.redial.Stop()
	}
	if s.poll != nil {
		s.poll.Stop()
	}
	s.mu.Unlock()
	if l != nil {
		if err == nil {
			l.bye()
		} else {
			_ = l.fail(err)
		}
	}
	s.dials.Wait()
}
