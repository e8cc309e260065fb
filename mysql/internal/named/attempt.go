package named

import (
	"fmt"

	"github.com/sqllock/toolkit/sqllock"
)

func (s *Session) submitAttempt(req *sqllock.Request) *op {
	o := newOp(attempt, s.entry(req.Key))
	o.req = req
	s.begin(o)
	return o
}

// begin asks for a key, once nothing else of it is on its way, or answers without asking.
func (s *Session) begin(o *op) {
	e := o.entry
	if len(e.waiters) == 0 && (e.busy != nil || e.parked != nil) {
		// The second: a connection that waited for somebody who has left is being called off, and may have the key for an instant. Where somebody
		// waits, whatever is on its way, the answer is known.
		e.pending = append(e.pending, o)
		return
	}
	var refusal error
	switch {
	case o.abandoned:
		refusal = sqllock.ErrClosed // which nobody hears
	case s.closed:
		refusal = sqllock.ErrClosed
	case e.hold != nil && e.hold.Err() == nil:
		refusal = &sqllock.HeldError{Name: o.req.Name, Owner: s.cfg.Owner}
	case o.polls && len(e.waiters) == 0:
		refusal = sqllock.ErrClosed // likewise
	case o.polls:
	case len(e.waiters) > 0, o.req.Waits && e.contended > s.now():
		// Who waits in the server comes before us; and who is going to wait anyway need not ask first.
		refusal = &sqllock.HeldError{Name: o.req.Name}
	}
	if refusal != nil {
		s.finish(o, refusal)
		s.follow(e)
		return
	}
	e.busy = o
	if c := s.carrier; c != nil && c.err() != nil {
		s.end(c, c.err()) // this process was stopped, and has just gone on
	}
	s.send(s.carrier, o)
}

// tried takes in the answer to an attempt.
func (s *Session) tried(l *link, o *op) {
	switch o.code {
	case '1':
		if s.cfg.Ledger == nil {
			s.conclude(o, s.grant(l, o.entry, o.req, 0), nil)
			return
		}
		s.count(l, o)
	case '0':
		s.contend(o.entry)
		s.conclude(o, nil, &sqllock.HeldError{Name: o.req.Name})
	default:
		s.doubt(l, o, errNull)
	}
}

// errNull is what an answer of NULL means: the statement was ended by somebody, or the server was out of memory
// (https://dev.mysql.com/doc/refman/en/locking-functions.html).
var errNull = fmt.Errorf("the server has answered NULL: something has ended the statement")

// grant notes that the server has given us a key.
func (s *Session) grant(l *link, e *entry, req *sqllock.Request, token int64) *Hold {
	if old := e.hold; old != nil && !old.leaving {
		// The server has given the key away: whatever has ended the session that held it has not reached us yet.
		s.lose(old, sqllock.ErrEvicted)
	}
	h := &Hold{session: s, link: l, entry: e, req: req, token: token, since: s.now()}
	e.hold = h
	l.held++
	return h
}

// conclude ends an attempt.
func (s *Session) conclude(o *op, h *Hold, err error) {
	e := o.entry
	e.busy = nil
	switch {
	case o.polls:
		s.attempted(e, h, err)
	case h != nil && o.abandoned:
		s.giveBack(h)
	default:
		o.granted = h
	}
	s.finish(o, err)
	s.follow(e)
}

// result is the outcome of an attempt that was awaited with err.
func (o *op) result(err error) sqllock.Result {
	switch {
	case err != nil:
		return sqllock.Result{Err: fmt.Errorf("mysql: lock %q: the server has not answered: %w", o.req.Name, err)}
	case o.err != nil:
		return sqllock.Result{Err: o.err}
	default:
		return sqllock.Result{Hold: o.granted}
	}
}

// giveBack releases what nobody wants any more.
func (s *Session) giveBack(h *Hold) {
	h.leaving = true
	s.surrender(&op{kind: release, entry: h.entry, key: h.entry.key, hold: h})
}

// follow does what has waited for its turn at e, or forgets e.
func (s *Session) follow(e *entry) {
	for e.busy == nil && len(e.pending) > 0 {
		o := e.pending[0]
		e.pending = e.pending[1:]
		n := len(e.pending)
		s.begin(o)
		if len(e.pending) > n {
			return // it waits on
		}
	}
	s.parkFor(e)
	if s.entries[e.key] == e && e.empty() && e.contended < s.now() {
		delete(s.entries, e.key)
	}
}
