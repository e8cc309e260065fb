package named

import (
	"context"
	"fmt"

	"github.com/sqllock/toolkit/sqllock"
)

// force is a request to give up a key.
type force struct {
	done chan struct{}
	err  error
}

// ForceRelease implements [sqllock.Session]: it asks the session that holds the name to give up this one key. Nothing can be sent to a session
// here, so it is asked by user locks, which sessions look for whenever they ping: one that is named after the session says that there is a
// request, and one that is named after the key which. The request stands until it is heard, or the server would have ended a session that
// does not hear it, and not only for as long as the caller waits.
func (s *Session) ForceRelease(ctx context.Context, name string) error {
	key := s.cfg.Key(name)
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return sqllock.ErrClosed
	}
	if e := s.entries[key]; e != nil && e.hold != nil && !e.hold.leaving {
		s.takeAway(e.hold, sqllock.ErrForced)
	}
	f, old := s.request(key)
	s.unlock()
	err := f.heard(ctx, name)
	if !old || context.Cause(ctx) != nil {
		return err
	}
	// What was asked before may have been asked of a former holder.
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return sqllock.ErrClosed
	}
	f, _ = s.request(key)
	s.unlock()
	return f.heard(ctx, name)
}

// request is the one that is on its way, or a new one.
func (s *Session) request(key string) (_ *force, old bool) {
	if f := s.forces[key]; f != nil {
		return f, true
	}
	f := &force{done: make(chan struct{})}
	s.forces[key] = f
	s.work.Go(func() { s.force(key, f) })
	return f, false
}

// heard waits for the end of the request.
func (f *force) heard(ctx context.Context, name string) error {
	select {
	case <-f.done:
		return f.err
	case <-ctx.Done():
		return fmt.Errorf("mysql: %w: the session that holds %q has not given it up yet; NamedBackend.Terminate ends it, with all that it holds: %w",
			sqllock.ErrNotConfirmed, name, context.Cause(ctx))
	}
}

func (s *Session) force(key string, f *force) {
	ctx, cancel := context.WithTimeout(s.life, s.cfg.timeout)
	defer cancel()
	f.err = s.cfg.Force(ctx, key)
	s.mu.Lock()
	delete(s.forces, key)
	s.mu.Unlock()
	close(f.done)
}

// listen gives up what others want by force.
func (s *Session) listen(l *link) {
	s.send(l, &op{kind: open, key: Asking(l.id), seen: func(o *op) {
		if o.err != nil || o.code != '0' {
			return
		}
		for _, e := range s.entries {
			if h := e.hold; h != nil && h.link == l && !h.leaving {
				s.send(l, &op{kind: open, key: Forcing(e.key), seen: func(o *op) {
					if o.err == nil && o.code == '0' && !h.leaving && !h.gone {
						s.takeAway(h, sqllock.ErrForced)
					}
				}})
			}
		}
	}})
}

// takeAway tells a holder that its lock is lost, and gives it up.
func (s *Session) takeAway(h *Hold, reason error) {
	if h.ended.CompareAndSwap(nil, &reason) {
		s.losses = append(s.losses, loss{h.req.Holder, reason})
	}
	s.giveBack(h)
}
