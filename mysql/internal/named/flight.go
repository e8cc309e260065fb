package named

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"time"

	"github.com/sqllock/toolkit/sqllock"
)

// maxBatch is how many ops travel together at most, and gathering up to how many wait for each other.
const (
	maxBatch  = 512
	gathering = 128
)

// batch is what one statement asks.
type batch struct {
	link *link
	ops  []*op
	sent time.Duration
}

// loss is something to tell a holder.
type loss struct {
	holder sqllock.Holder
	reason error
}

// outbox is what a critical section leaves to be done when the mutex is free again.
type outbox struct {
	batches  []*batch
	finished []*op
	losses   []loss
	closing  []closing
}

// closing is a connection that is to be closed: by us, or where it is in use by whoever uses it, who then finds the wire cut.
type closing struct {
	link  *link
	inUse bool
}

// send has a link ask o, as soon as what is on its way has been answered. Without a link it is for the carrier that is to come. What gives up a key
// that is in doubt goes before all that has not been asked: there may be somebody else's attempt at the same key, and what that gets is not in doubt.
func (s *Session) send(l *link, o *op) {
	if l == nil {
		s.unsent = append(s.unsent, o)
		s.dial()
		return
	}
	if !slices.Contains(s.links, l) {
		s.abort(o, fmt.Errorf("mysql: the session has ended: %w", l.err()))
		return
	}
	if o.kind != same && o.kind != mine && o.kind != open {
		l.served = s.now()
	}
	if o.kind == drop {
		l.queue = slices.Insert(l.queue, 0, o)
		return
	}
	l.queue = append(l.queue, o)
}

// pack takes what has gathered.
func (s *Session) pack() outbox {
	box := outbox{finished: s.finished, losses: s.losses, closing: s.closing}
	s.finished, s.losses, s.closing = nil, nil, nil
	for _, l := range s.links {
		if b := s.depart(l); b != nil {
			s.work.Add(1) // until it has landed
			box.batches = append(box.batches, b)
		}
	}
	if s.drained != nil && len(s.unsent) == 0 && s.idle() {
		close(s.drained)
		s.drained = nil
	}
	return box
}

// idle tells whether no link is asking or about to ask, but for those that wait.
func (s *Session) idle() bool {
	for _, l := range s.links {
		if !l.idle() && l.entry == nil {
			return false
		}
	}
	return len(s.tokens) == 0 && !s.counting
}

// depart makes a batch of what has gathered for a link, unless one is on its way.
func (s *Session) depart(l *link) *batch {
	if l.flying != nil || len(l.queue) == 0 {
		return nil
	}
	n := 0
	for n < len(l.queue) && n < maxBatch && !l.queue[n].alone() {
		n++
	}
	n = max(n, 1)
	b := &batch{link: l, ops: l.queue[:n:n], sent: s.now()}
	if l.queue = l.queue[n:]; len(l.queue) == 0 {
		l.queue = nil
	}
	l.flying = b
	return b
}

// alone tells whether o needs a statement of its own: one that waits, or that is no expression.
func (o *op) alone() bool { return o.kind == park || o.kind == kill }

// deliver tells holders of their losses first, because what is sent may free what they were forced to give up. It leaves out the batch
// that the caller sends.
func (s *Session) deliver(box outbox, own *batch) {
	for _, l := range box.losses {
		l.holder.Lost(l.reason)
	}
	for _, c := range box.closing {
		if !c.inUse {
			_ = c.link.conn.Close() // which says goodbye
		}
		_ = c.link.wire.Close()
	}
	for _, b := range box.batches {
		if b != own {
			go s.fly(b)
		}
	}
	for _, o := range box.finished {
		o.done <- struct{}{}
	}
}

// unlock ends a critical section.
func (s *Session) unlock() {
	box := s.pack()
	s.mu.Unlock()
	s.deliver(box, nil)
}

// longestLead is how long somebody may be kept who has said for how long they want to wait: a release that the server does not answer.
const longestLead = 10 * time.Second

// unlockAndAwait ends a critical section in which o was submitted, and waits for it. Whoever will not be called away asks the server themselves: to
// have it done by another goroutine takes longer than the rest of our work. That counts releases, whose callers wait until the silence of the
// server ends the session, if that is not for long. (A coroutine could be left at any time, but not entered by callers that are locked to their
// thread: https://pkg.go.dev/iter#Pull.)
func (s *Session) unlockAndAwait(ctx context.Context, o *op) error {
	box := s.pack()
	var own *batch
	if ctx.Done() == nil || o.kind == release && s.cfg.limit() <= longestLead {
		for _, b := range box.batches {
			if slices.Contains(b.ops, o) {
				own, o.leads = b, true
			}
		}
	}
	s.mu.Unlock()
	s.deliver(box, own)
	if own == nil {
		return s.await(ctx, o)
	}
	if next := s.trip(own); next != nil {
		go s.fly(next)
	}
	s.mu.Lock()
	o.leads = o.settled
	s.mu.Unlock()
	if o.leads {
		return nil
	}
	return s.await(ctx, o)
}

// await waits for an op of which somebody is to be told. When ctx ends first the op is abandoned.
func (s *Session) await(ctx context.Context, o *op) error {
	select {
	case <-o.done:
		o.received = true
		return nil
	case <-ctx.Done():
	}
	s.mu.Lock()
	defer s.unlock()
	if o.settled {
		return nil
	}
	o.abandoned = o.kind != release
	return context.Cause(ctx)
}

// fly asks one batch after the other, until there is nothing more to ask.
func (s *Session) fly(b *batch) {
	for b != nil {
		b = s.trip(b)
	}
}

// trip asks a batch, takes in the answer, and returns the next one.
func (s *Session) trip(b *batch) *batch {
	defer s.work.Done()
	err := b.ask()
	l := b.link
	now := s.now()
	s.mu.Lock()
	l.flying, l.used = nil, now
	if !slices.Contains(s.links, l) { // it was ended meanwhile, and everybody told
		s.mu.Unlock()
		_ = l.conn.Close()
		return nil
	}
	lasts := err == nil || fromServer(err) && l.open()
	switch {
	case lasts && b.ops[0].kind == park:
		l.heard.Store(int64(now)) // nothing is held there yet; see parked
	case lasts:
		l.heard.Store(int64(b.sent))
	}
	switch {
	case !lasts:
		s.end(l, err, b.ops...)
	case l.err() != nil: // the answer has lain unread while this process was stopped
		s.end(l, l.err(), b.ops...)
	case err != nil:
		for _, o := range b.ops {
			s.failed(l, o, err)
		}
	default:
		if !b.ops[0].alone() {
			l.trips += (now - b.sent - l.trips) / 8
		}
		for _, o := range b.ops {
			if !slices.Contains(s.links, l) { // one of the answers has ended it
				s.abort(o, fmt.Errorf("mysql: the session has ended: %w", l.err()))
				continue
			}
			s.answered(l, o, b.sent)
		}
	}
	s.spareOrKeep(l)
	if n := len(s.finished); n > 1 && n <= gathering {
		s.gather()
	}
	box := s.pack()
	var next *batch
	for _, b := range box.batches {
		if b.link == l {
			next = b
		}
	}
	if next == nil && slices.Contains(s.links, l) {
		s.watch(l)
	}
	s.mu.Unlock()
	s.deliver(box, next)
	return next
}

// gather lets those who have just been answered say what they want next, so that it travels together: what a statement costs does not depend
// much on how many share it.
func (s *Session) gather() {
	finished := s.finished
	s.finished = nil
	s.mu.Unlock()
	for _, o := range finished {
		o.done <- struct{}{}
	}
	runtime.Gosched()
	s.mu.Lock()
}

// ask sends the batch, and notes the answers.
func (b *batch) ask() error {
	if o := b.ops[0]; o.kind == kill {
		return b.link.tell("KILL QUERY IS_USED_LOCK('" + o.key + "')")
	}
	sql := make([]byte, 0, 128*len(b.ops))
	sql = append(sql, "SELECT "...)
	if len(b.ops) == 1 {
		sql = b.ops[0].expression(sql)
		if b.ops[0].kind == park {
			sql = append(sql, b.link.signature...)
		}
		answer, err := b.link.ask(string(sql))
		switch {
		case err != nil:
			return err
		case answer == nil:
			b.ops[0].code = null
		case len(answer) == 1:
			b.ops[0].code = answer[0]
		default:
			return fmt.Errorf("the server has answered %q where 0 or 1 was asked for", answer)
		}
		return nil
	}
	sql = append(sql, "CONCAT("...)
	for i, o := range b.ops {
		if i > 0 {
			sql = append(sql, ',')
		}
		sql = append(sql, "IFNULL("...)
		sql = o.expression(sql)
		sql = append(sql, ",'n')"...)
	}
	sql = append(sql, ')')
	answer, err := b.link.ask(string(sql))
	if err != nil {
		return err
	}
	if len(answer) != len(b.ops) || len(bytes.Trim(answer, "01n")) > 0 {
		return fmt.Errorf("the server has answered %q to %d questions", answer, len(b.ops))
	}
	for i, o := range b.ops {
		o.code = answer[i]
	}
	return nil
}

// answered takes in the answer to an op.
func (s *Session) answered(l *link, o *op, sent time.Duration) {
	switch o.kind {
	case attempt:
		s.tried(l, o)
	case release:
		s.released(o)
	case park:
		s.parked(l, o, sent)
	case drop:
		s.dropped(l, o)
	case same:
		if o.code != '1' {
			s.end(l, errAnother)
			return
		}
		s.finish(o, nil)
	default:
		s.finish(o, nil)
	}
}

// failed takes in that the server has answered a batch with an error: some of it may have been done.
func (s *Session) failed(l *link, o *op, err error) {
	switch o.kind {
	case attempt, release, park, lift:
		s.doubt(l, o, err)
	case drop:
		// Somebody keeps on killing our statements. What cannot be given up one by one goes with the session.
		if o.pause++; o.pause > maxDrops {
			s.end(l, fmt.Errorf("what the session holds could not be found out: %w", err), o)
			return
		}
		s.send(l, o)
	default:
		s.finish(o, err)
	}
}

// maxDrops is how often giving up is tried.
const maxDrops = 20

// doubt gives up what an op may have got, or may not have released.
func (s *Session) doubt(l *link, o *op, err error) {
	o.after, o.kind, o.err, o.pause = o.kind, drop, err, 0
	s.send(l, o)
}

// dropped goes on after an op whose outcome was in doubt: now the session does not hold the key.
func (s *Session) dropped(l *link, o *op) {
	o.kind = o.after
	err := o.err
	o.err = nil
	switch o.kind {
	case attempt:
		var held *sqllock.HeldError
		switch {
		case err == nil: // nobody wants it any more
			err = &sqllock.HeldError{Name: o.req.Name}
		case !errors.As(err, &held):
			err = explain("acquire", err)
		}
		s.conclude(o, nil, err)
	case release:
		s.forget(o.hold)
		s.settle(o, nil)
	case park:
		s.unparked(l, err)
	default:
		s.finish(o, nil)
	}
}

// finish answers whoever waits for the op.
func (s *Session) finish(o *op, err error) {
	if o.settled {
		return
	}
	o.settled, o.err = true, err
	if o.seen != nil {
		o.seen(o)
	}
	if o.done != nil && !o.abandoned && !o.leads {
		s.finished = append(s.finished, o)
	}
}
