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
	case o.err != nil:
		// Whether it is still ours will be found out, and if so it is given up.
		err = fmt.Errorf("postgres: release: %w", o.err)
	case o.code == notHeld:
		s.check.want()
		err = h.lost(sqllock.ErrEvicted)
	case o.code == notified:
		// Whoever releases is nearer to the next grant than those who have just been told. They go first.
		e.queue().after = s.at + 2*s.trip + time.Millisecond
		s.contend(e)
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

// drop forgets a hold.
func (s *Session) drop(h *Hold) {
	e := h.entry
	s.locks -= cost(e.mode, e.count) - cost(e.mode, e.count-1)
	e.remove(h)
}
