package advisory

import (
	"fmt"
	"time"

	"github.com/sqllock/toolkit/sqllock"
)

// submitRelease returns nil if there is nothing to release any more.
func (s *Session) submitRelease(h *Hold) (*op, error) {
	if ended := h.ended.Load(); ended != nil {
		return nil, h.lost(*ended)
	}
	if h.leaving {
		return nil, nil
	}
	h.leaving = true
	o := newOp(release, h.entry)
	o.hold = h
	s.submit(o)
	return o, nil
}

// outcome is that of a release that was awaited with err. The release itself goes on when the context has ended.
func (o *op) outcome(err error) error {
	if err != nil {
		return fmt.Errorf("postgres: release: %w", err)
	}
	return o.err
}

// released takes in the answer to a release.
func (s *Session) released(o *op) {
	e, h := o.entry, o.hold
	s.drop(h)
	var err error
	switch {
	case o.failure != nil:
		// Whether it is still ours will be found out, and if so it is given up.
		err = fmt.Errorf("postgres: release: %w", o.failure)
	case o.code == notHeld:
		s.check.want()
		err = h.lost(sqllock.ErrEvicted)
	case o.code == notified:
		s.contend(e)
		s.holdBack(e)
	case e.line != nil && e.line.contended > s.at:
		s.holdBack(e) // others have wanted it lately, and may be about to say so again
	}
	if o.unheard {
		what := otherGone
		if h.req.Mode == sqllock.ModeExclusive {
			what = writerGone
		}
		s.submit(&op{kind: notify, message: string(what) + FormatKey(e.key)})
	}
	s.finish(o, err)
	s.acknowledge(e)
	s.wake(e, false)
}

// longestBack is how long a session holds itself back at most.
const longestBack = 25 * time.Millisecond

// holdBack lets others go first: whoever releases is nearer to the next grant than they are. It begins with two round trips and a millisecond, and
// doubles for as long as nobody else is seen to have had the key: where processors are short they take longer.
func (s *Session) holdBack(e *entry) {
	l := e.line
	shortest := 2*s.trip + time.Millisecond
	if l.unserved {
		l.back = min(max(2*l.back, shortest), longestBack)
	} else {
		l.back = shortest
	}
	l.after, l.unserved = s.at+l.back, true
}

// served says that somebody else has had the key, or has it.
func (e *entry) served() {
	if e.line != nil {
		e.line.unserved = false
	}
}

// drop forgets a hold.
func (s *Session) drop(h *Hold) {
	e := h.entry
	s.locks -= cost(e.mode, e.count) - cost(e.mode, e.count-1)
	if h.mark != (pair{}) {
		s.locks--
	}
	e.remove(h)
}
