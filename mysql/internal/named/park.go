package named

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/sqllock/toolkit/sqllock"
)

// retryParking is how long a key is polled after no connection could be had to wait on, or waiting has failed, before the next is tried.
const retryParking = time.Second

// parkFor has a connection wait for e in the server, if somebody wants it and none does yet. What waits holds nothing else: a server that sees a
// session wait that has what others want would call it a deadlock, although it is goroutines that wait, and not the session.
func (s *Session) parkFor(e *entry) {
	if len(e.waiters) == 0 || e.parked != nil || e.calling || s.closed {
		return
	}
	if e.aloof > s.now() {
		s.startPolling()
		return
	}
	if n := len(s.spare); n > 0 {
		l := s.spare[n-1]
		s.spare = s.spare[:n-1]
		s.wait(l, e)
		return
	}
	if s.beside() >= s.cfg.MaxParked {
		s.startPolling()
		return
	}
	e.calling = true
	s.calling++
	s.work.Go(func() {
		ctx, cancel := context.WithTimeout(s.life, s.cfg.limit())
		defer cancel()
		l, err := s.cfg.open(ctx, s.cfg.Clock)
		s.mu.Lock()
		defer s.unlock()
		e.calling = false
		s.calling--
		switch {
		case err != nil:
			e.aloof = s.now() + retryParking
			s.trouble(e, err)
			if len(e.waiters) > 0 {
				s.startPolling()
			}
			s.follow(e)
			return
		case s.closed:
			s.closing = append(s.closing, closing{link: l})
			return
		}
		s.add(l)
		if len(e.waiters) > 0 && e.parked == nil {
			s.wait(l, e)
			return
		}
		s.spareOrKeep(l)
		s.follow(e)
	})
}

// beside is how many connections there are beside the carrier.
func (s *Session) beside() int {
	n := len(s.links) + s.calling
	if s.carrier != nil {
		n--
	}
	return n
}

// wait sends l to wait for e.
func (s *Session) wait(l *link, e *entry) {
	e.parked, l.entry, l.killed, l.doubted = l, e, false, 0
	s.send(l, &op{kind: park, entry: e, key: e.key})
}

// callOff has nobody wait for e any more. If the server grants the key at this moment, it is given back.
func (s *Session) callOff(e *entry) {
	l := e.parked
	if l == nil || l.killed {
		return
	}
	l.killed = true
	if i := slices.IndexFunc(l.queue, func(o *op) bool { return o.kind == park }); i >= 0 {
		l.queue = slices.Delete(l.queue, i, i+1) // it was not even asked
		s.unparked(l, nil)
		return
	}
	if s.carrier == nil || s.closed {
		s.end(l, sqllock.ErrClosed)
		return
	}
	l.killing = true
	// By its marker: where the carrier leads to another server now, the number of this session is somebody else's.
	s.send(s.carrier, &op{kind: kill, key: l.marker, seen: func(o *op) {
		l.killing = false
		switch {
		case l.entry != e:
			s.spareOrKeep(l)
		case o.err != nil:
			s.end(l, o.err) // the server will see that nobody is there any more
		default:
			s.cfg.Clock.AfterFunc(retryCalling, func() { s.callAgain(e, l) })
		}
	}})
}

// retryCalling is how long the answer of a connection that was called off is waited for.
const retryCalling = 20 * time.Millisecond

// callAgain calls l off once more if it still waits: whoever is called off before the server has begun to work on its statement goes on.
func (s *Session) callAgain(e *entry, l *link) {
	s.mu.Lock()
	defer s.unlock()
	if e.parked != l || !l.killed || l.killing {
		return
	}
	l.killed = false
	if len(e.waiters) == 0 {
		s.callOff(e)
	}
}

// parked takes in that l waits no longer.
func (s *Session) parked(l *link, o *op, sent time.Duration) {
	e := o.entry
	switch {
	case o.code == '0':
		s.unparked(l, nil)
		return
	case o.code != '1':
		s.doubt(l, o, errNull)
		return
	case len(e.waiters) == 0:
		s.doubt(l, o, nil)
		return
	}
	waited := s.now() - sent
	if waited > 2*l.trips+time.Millisecond {
		s.contend(e)
	}
	if waited < s.cfg.limit()/2 {
		l.heard.Store(int64(sent))
		s.inherit(l, o)
		return
	}
	// The grant may have lain unread while this process was stopped, and the server counts its timeout from then. An answer that is new tells.
	s.send(l, &op{kind: mine, entry: e, key: e.key, seen: func(again *op) {
		switch {
		case again.err != nil:
			s.doubt(l, o, again.err)
		case again.code != '1':
			s.unparked(l, sqllock.ErrEvicted)
		case len(e.waiters) == 0:
			s.doubt(l, o, nil)
		default:
			s.inherit(l, o)
		}
	}})
}

// inherit gives what l has been granted to the first who waits.
func (s *Session) inherit(l *link, o *op) {
	e := o.entry
	if s.cfg.Ledger != nil && o.token == 0 {
		s.count(l, o)
		return
	}
	e.parked, l.entry = nil, nil
	w := e.waiters[0]
	s.dismiss(e, w, s.grant(l, e, w.req, o.token), nil)
}

// unparked takes in that l waits no longer, and holds nothing.
func (s *Session) unparked(l *link, err error) {
	e := l.entry
	e.parked, l.entry = nil, nil
	if err != nil && !errors.Is(err, errNull) && number(err) != interrupted {
		e.aloof = s.now() + retryParking
		s.trouble(e, explain("acquire", err))
	}
	s.spareOrKeep(l)
	s.follow(e)
}

// spareOrKeep makes a connection on which nothing happens any more wait for another key, or be ready for that.
func (s *Session) spareOrKeep(l *link) {
	if l == s.carrier || l.entry != nil || l.killing || l.held > 0 || !l.idle() || slices.Contains(s.spare, l) || !slices.Contains(s.links, l) {
		return
	}
	s.spare = append(s.spare, l)
	for e := range s.awaited {
		if e.parked == nil && !e.calling && e.aloof <= s.now() {
			s.parkFor(e)
			return
		}
	}
}
