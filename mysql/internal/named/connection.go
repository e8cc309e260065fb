package named

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/sqllock/toolkit/sqllock"
)

// The pauses between attempts to connect while somebody waits, and how long connections stay open that nobody uses.
const (
	shortestRedial = 10 * time.Millisecond
	longestRedial  = 2 * time.Second
	idleCarrier    = time.Minute
	idleSpare      = 5 * time.Second
)

// dial begins to connect the carrier.
func (s *Session) dial() {
	if s.dialling || s.carrier != nil || s.closed && len(s.unsent) == 0 {
		return
	}
	s.dialling = true
	if s.redial != nil {
		s.redial.Stop()
	}
	s.work.Go(func() {
		ctx, cancel := context.WithTimeout(s.life, s.cfg.limit())
		defer cancel()
		l, err := s.cfg.open(ctx, s.cfg.Clock)
		s.connected(l, err)
	})
}

// connected takes in a new carrier, or that there is none.
func (s *Session) connected(l *link, err error) {
	s.mu.Lock()
	defer s.unlock()
	s.dialling = false
	if s.closed && err == nil {
		s.closing = append(s.closing, closing{link: l})
		err = sqllock.ErrClosed
	}
	unsent := s.unsent
	s.unsent = nil
	if err != nil {
		for _, o := range unsent {
			s.abort(o, err)
		}
		for e := range maps.Clone(s.awaited) {
			s.trouble(e, err)
		}
		s.dialLater()
		return
	}
	s.pause = 0
	s.carrier = l
	s.add(l)
	l.queue = unsent
}

// dialLater connects again after a pause that grows, if somebody waits.
func (s *Session) dialLater() {
	if len(s.awaited) == 0 || s.closed {
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

// add puts a new connection to use.
func (s *Session) add(l *link) {
	l.used, l.served, l.inquired = s.now(), s.now(), s.now()
	s.links = append(s.links, l)
	s.cfg.Clock.AfterFunc(s.cfg.ping(), func() { s.tick(l) })
}

// quiet is how long a connection has to be idle before its end is waited for: that costs whoever uses it next a switch between goroutines.
const quiet = 5 * time.Millisecond

// watch waits for the end of l while nobody asks it anything, because it ends without being asked: the server may end a session, or itself.
func (s *Session) watch(l *link) {
	if l.watching {
		return
	}
	l.watching = true
	s.cfg.Clock.AfterFunc(quiet, func() { s.watchIdle(l) })
}

func (s *Session) watchIdle(l *link) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l.watching = false
	if !slices.Contains(s.links, l) || !l.idle() {
		return // it is watched when what is on its way has been answered
	}
	if s.now()-l.used < quiet {
		s.watch(l)
		return
	}
	l.watching = true
	l.wire.watch(func(r *readahead) {
		s.mu.Lock()
		defer s.unlock()
		l.watching = false
		switch {
		case !slices.Contains(s.links, l), l.flying != nil: // it is taken for the beginning of an answer, or will be
		case !l.wire.unasked(r):
			s.watch(l) // it was, and whoever has asked may have been done before this
		case r.err != nil:
			s.end(l, r.err)
		default:
			s.send(l, &op{kind: same, key: l.marker}) // the server has something to say: this will be answered with it
		}
	})
}

// tick sees to it that silence is noticed, and that what is held is still ours.
func (s *Session) tick(l *link) {
	s.mu.Lock()
	defer s.unlock()
	if !slices.Contains(s.links, l) {
		return
	}
	next := s.cfg.ping() / 2
	if l.waits() { // so its silence says nothing
		s.suspect(l)
		s.cfg.Clock.AfterFunc(next, func() { s.tick(l) })
		return
	}
	switch {
	case l.err() != nil:
		s.end(l, l.err())
		return
	case s.unused(l):
		s.hangUp(l)
		return
	case s.now()-l.inquired >= next: // so that no more than a ping interval passes between two questions
		s.inquire(l)
	}
	if l == s.carrier {
		s.sweep()
	}
	s.cfg.Clock.AfterFunc(min(next, max(l.limit-l.silence(), time.Millisecond)), func() { s.tick(l) })
}

// maxInquiries is how many locks are looked at in one ping. Others have their turn later.
const maxInquiries = 256

// inquire asks whether l is still the session that we know, whether somebody wants what it holds by force, and whether it still holds it.
func (s *Session) inquire(l *link) {
	l.inquired = s.now()
	s.send(l, &op{kind: same, key: l.marker})
	if l.held == 0 {
		return
	}
	s.listen(l)
	n := 0
	for _, e := range s.entries { // in another order each time
		h := e.hold
		if h == nil || h.link != l || h.leaving {
			continue
		}
		if n++; n > maxInquiries {
			break
		}
		s.send(l, &op{kind: mine, entry: e, key: e.key, seen: func(o *op) {
			if o.err == nil && o.code != '1' && !h.leaving && !h.gone {
				s.takeAway(h, sqllock.ErrEvicted)
			}
		}})
	}
}

// suspect finds a connection that waits although the key is free: the grant has been lost on its way, with the connection.
func (s *Session) suspect(l *link) {
	e := l.entry
	if s.carrier == nil || e.hold != nil {
		return
	}
	s.send(s.carrier, &op{kind: open, key: e.key, seen: func(o *op) {
		switch {
		case o.err != nil || l.entry != e:
		case o.code != '1':
			l.doubted = 0
			e.untroubled()
		default:
			if l.doubted++; l.doubted > 1 {
				s.end(l, errSilent)
			}
		}
	}})
}

// sweep forgets keys that nobody has contended for lately.
func (s *Session) sweep() {
	for key, e := range s.entries {
		if e.empty() && e.contended < s.now() {
			delete(s.entries, key)
		}
	}
}

// unused tells whether a connection has served nobody for a while.
func (s *Session) unused(l *link) bool {
	if l != s.carrier {
		return l.idle() && slices.Contains(s.spare, l) && s.now()-l.served > idleSpare
	}
	return l.idle() && l.held == 0 && len(s.links) == 1 && len(s.awaited) == 0 && s.calling == 0 && s.now()-l.served > idleCarrier
}

// hangUp closes a connection that nobody needs.
func (s *Session) hangUp(l *link) {
	s.remove(l)
	_ = l.fail(errors.New("mysql: not used"))
	s.closing = append(s.closing, closing{link: l})
}

func (s *Session) remove(l *link) {
	if i := slices.Index(s.links, l); i >= 0 {
		s.links = slices.Delete(s.links, i, i+1)
	}
	if i := slices.Index(s.spare, l); i >= 0 {
		s.spare = slices.Delete(s.spare, i, i+1)
	}
	if s.carrier == l {
		s.carrier = nil
	}
}

// end takes in that a connection has ended, or ends it: whatever was held there is lost, and those who wait go on waiting on others.
func (s *Session) end(l *link, reason error, unanswered ...*op) {
	if !slices.Contains(s.links, l) {
		return
	}
	wasCarrier := l == s.carrier
	reason = fmt.Errorf("mysql: the session has ended: %w", l.fail(reason))
	s.remove(l)
	s.closing = append(s.closing, closing{l, l.flying != nil})
	s.cfg.Logger.Debug("sqllock: session ended", slog.Any("error", reason))

	if l.flying != nil {
		for _, o := range l.flying.ops {
			o.torn = true
		}
		unanswered = append(unanswered, l.flying.ops...)
	}
	unsent := l.queue
	l.queue = nil
	if l.held > 0 {
		for _, e := range s.entries {
			if h := e.hold; h != nil && h.link == l {
				s.lose(h, reason)
			}
		}
	}
	if e := l.entry; e != nil {
		e.parked, l.entry = nil, nil
		if !l.killed {
			s.trouble(e, reason)
		}
		s.follow(e)
	}
	for _, o := range unanswered {
		if o.kind != attempt || o.again || errors.Is(reason, errSilent) {
			s.abort(o, reason)
			continue
		}
		// The connection may have ended before, unseen. If not, and the key was granted, it is free when the server has ended the session.
		o.again, o.entry.busy = true, nil
		s.begin(o)
	}
	for _, o := range unsent {
		if o.kind != attempt || !wasCarrier {
			s.abort(o, reason)
			continue
		}
		o.entry.busy = nil
		s.begin(o) // on the next connection
	}
	if !wasCarrier {
		return
	}
	if errors.Is(reason, errSilent) {
		// What waits cannot be asked whether it is well, but it waits for the same server.
		for _, other := range slices.Clone(s.links) {
			if other.entry != nil {
				s.end(other, errSilent)
			}
		}
	}
	if len(s.awaited) > 0 {
		s.dial()
	}
}

// abort ends an op that cannot be sent or was not answered, of a connection that is no more.
func (s *Session) abort(o *op, err error) {
	k := o.kind
	if k == drop {
		k = o.after
	}
	switch k {
	case attempt:
		s.conclude(o, nil, err)
	case release:
		s.forget(o.hold)
		s.finish(o, fmt.Errorf("mysql: release: %w: %w", errGone, err))
		s.follow(o.entry)
	case park: // see end
	default:
		s.finish(o, err)
	}
}

// Close implements [sqllock.Session].
func (s *Session) Close(ctx context.Context) error {
	closed := sqllock.ErrClosed
	s.mu.Lock()
	s.closed = true
	drained := make(chan struct{})
	s.drained = drained
	for e := range maps.Clone(s.awaited) {
		for _, w := range slices.Clone(e.waiters) {
			s.dismiss(e, w, nil, closed)
		}
	}
	for _, e := range slices.Collect(maps.Values(s.entries)) {
		for _, o := range e.pending {
			s.finish(o, closed)
		}
		e.pending = nil
		if h := e.hold; h != nil && !h.leaving && h.ended.CompareAndSwap(nil, &closed) {
			s.losses = append(s.losses, loss{h.req.Holder, closed})
			s.giveBack(h)
		}
	}
	s.unlock()

	var err error
	select {
	case <-drained:
	case <-ctx.Done():
		err = fmt.Errorf("mysql: what was held is freed when the server notices that the connection has gone: %w", context.Cause(ctx))
	}
	s.die()
	s.mu.Lock()
	if s.redial != nil {
		s.redial.Stop()
	}
	if s.poll != nil {
		s.poll.Stop()
	}
	for _, l := range slices.Clone(s.links) {
		s.end(l, closed)
	}
	s.unlock()
	s.work.Wait()
	return err
}
