package named

import (
	"errors"
	"fmt"

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
	if err := h.link.err(); err != nil {
		s.end(h.link, err)
		return nil, h.lost(err)
	}
	h.leaving = true
	o := newOp(release, h.entry)
	o.hold = h
	s.surrender(o)
	return o, nil
}

// surrender sends a release. It waits for nothing: the connection on which the key is held belongs to this op until it is answered.
func (s *Session) surrender(o *op) {
	h := o.hold
	s.send(h.link, o)
	if h.term != "" {
		s.send(h.link, &op{kind: lift, key: h.term})
	}
}

// outcome is that of a release that was awaited with err. The release itself goes on when the context has ended.
func (o *op) outcome(err error) error {
	if err != nil {
		return fmt.Errorf("mysql: release: %w", err)
	}
	return o.err
}

// released takes in the answer to a release.
func (s *Session) released(o *op) {
	h := o.hold
	var err error
	if o.code != '1' {
		err = h.lost(sqllock.ErrEvicted)
	}
	s.forget(h)
	s.settle(o, err)
}

// settle ends a release.
func (s *Session) settle(o *op, err error) {
	s.finish(o, err)
	s.spareOrKeep(o.hold.link)
	s.follow(o.entry)
	s.pollFor(o.entry)
}

// forget drops a hold that is given up or lost.
func (s *Session) forget(h *Hold) {
	if h.gone {
		return
	}
	h.gone = true
	h.link.held--
	if h.entry.hold == h {
		h.entry.hold = nil
	}
}

// lose tells a holder that its lock is gone.
func (s *Session) lose(h *Hold, reason error) {
	if h.ended.CompareAndSwap(nil, &reason) && !h.leaving {
		s.losses = append(s.losses, loss{h.req.Holder, reason})
	}
	s.forget(h)
}

// errGone is why a release cannot be confirmed.
var errGone = errors.New("the session has ended, and the lock with it")
