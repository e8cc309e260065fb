package advisory

import (
	"errors"
	"time"

	"github.com/sqllock/toolkit/sqllock"
)

// submit lets an op go to the server once nothing else of its key is on its way.
func (s *Session) submit(o *op) {
	e := o.entry
	if e == nil {
		s.asking = append(s.asking, o)
		return
	}
	if e.busy != nil {
		l := e.queue()
		l.pending = append(l.pending, o)
		return
	}
	s.begin(o)
}

// begin sends an op, or answers it without asking the server.
func (s *Session) begin(o *op) {
	e := o.entry
	if o.abandoned || o.waiter != nil && o.waiter.ended {
		s.finish(o, nil)
		s.follow(e)
		return
	}
	switch o.kind {
	case attempt:
		s.beginAttempt(o)
	case release:
		if o.hold.link != s.link {
			s.finish(o, o.hold.lost(o.hold.Err()))
			s.follow(e)
			return
		}
		if o.last = e.count == 1; !o.last && e.mode == sqllock.ModeShared {
			s.drop(o.hold) // others of this session go on reading
			s.finish(o, nil)
			s.follow(e)
			return
		}
		e.busy = o
		s.leaving = append(s.leaving, o)
	case delist:
		l := e.line
		if l == nil || !l.enlisted || len(l.waiters) > 0 {
			s.finish(o, nil)
			s.follow(e)
			return
		}
		o.intend = l.intent
		e.busy = o
		s.leaving = append(s.leaving, o)
	case mark:
		s.beginMark(o)
	case unguarded:
		if e.count == 0 {
			s.finish(o, nil)
			s.forced(o)
			s.follow(e)
			return
		}
		e.busy = o
		s.asking = append(s.asking, o)
	default:
		e.busy = o
		s.asking = append(s.asking, o)
	}
}

// park sends an attempt later. Its key is busy until then.
func (s *Session) park(o *op, d time.Duration) {
	o.parked, o.timed = true, true
	s.cfg.Clock.AfterFunc(d, func() {
		s.mu.Lock()
		defer s.unlock()
		s.unpark(o)
	})
}

func (s *Session) unpark(o *op) {
	if o.parked && o.entry.busy == o {
		o.parked, o.entry.busy = false, nil
		s.begin(o)
	}
}

// follow sends what has waited for its turn at e, or forgets e.
func (s *Session) follow(e *entry) {
	if e.busy != nil {
		return
	}
	if l := e.line; l != nil && len(l.pending) > 0 {
		o := l.pending[0]
		l.pending = l.pending[1:]
		s.begin(o)
		return
	}
	if s.entries[e.key] == e && e.empty() && (e.line == nil || e.line.contended == 0 || e.line.contended < s.now()) {
		delete(s.entries, e.key)
	}
}

// settle takes in the answer to an op.
func (s *Session) settle(o *op) {
	e := o.entry
	if o.failure != nil {
		s.check.want()
	} else if !o.answered {
		o.failure = errors.New("postgres: the server has not answered")
		s.check.want()
	}
	if e != nil {
		e.busy = nil
	}
	switch o.kind {
	case attempt:
		s.tried(o)
	case release:
		s.released(o)
	case delist:
		e.line.enlisted, e.line.intent = false, false
		s.finish(o, nil)
	case unguarded:
		s.finish(o, o.failure)
		s.forced(o)
	case mark:
		s.marking(o)
	default:
		s.finish(o, o.failure)
	}
	if e != nil {
		s.follow(e)
	}
}

// finish answers whoever waits for the op.
func (s *Session) finish(o *op, err error) {
	if o.settled {
		return
	}
	o.settled, o.err = true, err
	if o.done != nil && !o.abandoned && !o.leads {
		s.finished = append(s.finished, o)
	}
}
