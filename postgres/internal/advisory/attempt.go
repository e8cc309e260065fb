package advisory

import (
	"fmt"
	"strconv"
	"time"

	"github.com/sqllock/toolkit/sqllock"
)

func (s *Session) submitAttempt(req *sqllock.Request) *op {
	o := newOp(attempt, s.entry(keyOf(req)))
	o.req, o.yields = req, req.Mode != sqllock.ModeExclusive
	s.submit(o)
	return o
}

// keyOf reads what [Config.Key] has made of the name.
func keyOf(req *sqllock.Request) int64 {
	key, err := strconv.ParseInt(req.Key, 10, 64)
	if err != nil {
		panic("postgres: the key " + req.Key + " is not of this backend") // a bug in package sqllock
	}
	return key
}

// result is the outcome of an attempt that was awaited with err.
func (o *op) result(err error) sqllock.Result {
	switch {
	case err != nil && o.deferred:
		return sqllock.Result{Err: &sqllock.HeldError{Name: o.req.Name, Cause: err}}
	case err != nil:
		return sqllock.Result{Err: fmt.Errorf("postgres: lock %q: the server has not answered: %w", o.req.Name, err)}
	case o.err != nil:
		return sqllock.Result{Err: o.err}
	default:
		return sqllock.Result{Hold: o.granted}
	}
}

func (s *Session) beginAttempt(o *op) {
	e := o.entry
	var refusal error
	switch {
	case s.closed:
		refusal = sqllock.ErrClosed
	case e.count > 0 && e.mode == sqllock.ModePermit && o.req.Mode == sqllock.ModePermit && e.permits() != o.req.Permits:
		refusal = fmt.Errorf("postgres: %w: %q is held with Permits(%d) by this process, and session locks need the same number everywhere; use a Table",
			sqllock.ErrUnsupported, o.req.Name, e.permits())
	case o.req.Mode == sqllock.ModePermit && o.req.Permits > MaxPermits:
		refusal = fmt.Errorf("postgres: %w: Permits(%d) of session locks: at most %d; use a Table", sqllock.ErrUnsupported, o.req.Permits, MaxPermits)
	case !e.admits(o.req):
		refusal = &sqllock.HeldError{Name: o.req.Name, Owner: s.cfg.Owner}
	case s.locks+cost(o.req.Mode, e.count+1)-cost(o.req.Mode, e.count) > s.cfg.MaxLocks:
		refusal = s.tooMany()
	}
	if refusal != nil {
		s.conclude(o, nil, refusal)
		s.follow(e)
		return
	}
	e.busy = o
	if l := e.line; l != nil && l.after > s.now() {
		if o.req.Waits && !l.enlisted && !o.told {
			// Those who go first see that they are not alone, and leave us our turn after theirs.
			o.tells, o.told = true, true
			s.entering = append(s.entering, o)
			return
		}
		s.park(o, l.after-s.now())
		return
	}
	o.join = e.count > 0
	o.cost = cost(o.req.Mode, e.count+1) - cost(o.req.Mode, e.count)
	s.locks += o.cost
	s.entering = append(s.entering, o)
}

func (s *Session) tooMany() error {
	return fmt.Errorf("postgres: %w: this Client has %d locks of the server's, and MaxLocks is %d; a default server has room for some 12,000 in all: "+
		"raise its max_locks_per_transaction before MaxLocks", sqllock.ErrTooMany, s.locks, s.cfg.MaxLocks)
}

func (s *Session) enlisted(o *op) {
	if o.failure == nil {
		l := o.entry.line
		l.enlisted = true
		l.intent = l.intent || o.intent
	}
	if !o.tells {
		return // its attempt follows
	}
	o.tells, o.entry.busy = false, nil
	if o.failure != nil {
		s.check.want()
		s.conclude(o, nil, explain("acquire", o.failure))
		s.follow(o.entry)
		return
	}
	s.unlist(o.entry) // if nobody waits by then
	s.begin(o)
}

// tried takes in the answer to an attempt.
func (s *Session) tried(o *op) {
	switch {
	case o.failure != nil:
		s.conclude(o, nil, explain("acquire", o.failure))
	case o.null:
		o.entry.served()
		s.conclude(o, nil, &sqllock.HeldError{Name: o.req.Name})
	case o.code == yielded:
		s.conclude(o, nil, &sqllock.HeldError{Name: o.req.Name, Detail: detailYielded})
	case o.code == guarded && o.waiter == nil && o.req.Mode != sqllock.ModeExclusive && o.tries < 4:
		// Perhaps nothing but another's test, which takes an instant.
		s.locks -= o.cost
		o.cost = 0
		if o.enlist { // which the next attempt will not know
			s.unlist(o.entry)
		}
		o.tries++
		o.answered = false
		o.entry.busy = o
		s.park(o, time.Millisecond<<o.tries/2)
		return
	case o.code == guarded:
		s.conclude(o, nil, &sqllock.HeldError{Name: o.req.Name, Detail: detailGuarded})
	default:
		h := &Hold{
			link: s.link, entry: o.entry, req: o.req, token: o.code, since: s.at, slot: o.slot,
		}
		o.entry.add(h)
		s.conclude(o, h, nil)
		if (o.enlist || o.told) && o.req.Mode != sqllock.ModeExclusive { // see leaveLine
			s.submit(&op{kind: delist, entry: o.entry})
		}
		return
	}
	s.locks -= o.cost
	if o.enlist && o.waiter == nil {
		s.unlist(o.entry)
	}
}

// conclude ends an attempt, or with a waiter one of several.
func (s *Session) conclude(o *op, h *Hold, err error) {
	if o.waiter != nil && !o.abandoned {
		s.attempted(o.waiter, h, err)
		return
	}
	o.granted = h
	if o.abandoned && h != nil {
		s.giveBack(h)
	}
	s.finish(o, err)
}

// giveBack releases what nobody wants any more.
func (s *Session) giveBack(h *Hold) {
	h.leaving = true
	s.submit(&op{kind: release, entry: h.entry, hold: h})
}
