package advisory

import (
	"context"
	"errors"
	"time"

	"github.com/sqllock/toolkit/sqllock"
)

// loss is something to tell a holder.
type loss struct {
	holder sqllock.Holder
	reason error
}

// outbox is what a critical section leaves to be done when the mutex is free again.
type outbox struct {
	batch    *batch
	resume   *link // whose own reader is to read
	finished []*op
	losses   []loss
}

// pack takes what has gathered.
func (s *Session) pack() outbox {
	box := outbox{batch: s.depart(), finished: s.finished, losses: s.losses}
	s.finished, s.losses = nil, nil
	if s.drained != nil && s.flying == nil && (s.link == nil || len(s.leaving) == 0) {
		close(s.drained)
		s.drained = nil
	}
	return box
}

// deliver tells holders of their losses first, because what is sent may free a lock that they were forced to give up.
func (o outbox) deliver() {
	for _, l := range o.losses {
		l.holder.Lost(l.reason)
	}
	if o.batch != nil {
		o.batch.link.send(o.batch)
	}
	if o.resume != nil {
		select {
		case o.resume.resume <- struct{}{}:
		default:
		}
	}
	for _, op := range o.finished {
		op.done <- struct{}{}
	}
}

// unlock ends a critical section.
func (s *Session) unlock() {
	box := s.pack()
	if b := box.batch; b != nil && !b.link.reading {
		b.link.reading = true
		box.resume = b.link
	}
	s.mu.Unlock()
	box.deliver()
}

// unlockAndAwait ends a critical section in which o was submitted, and waits for it. Who is alone reads the answer themselves.
func (s *Session) unlockAndAwait(ctx context.Context, o *op) error {
	box := s.pack()
	b := box.batch
	o.leads = b != nil && !b.link.reading && !s.attentive() && !o.settled // else somebody tells us
	if b != nil && !b.link.reading {
		b.link.reading = true
		if !o.leads {
			box.resume = b.link
		}
	}
	leads := o.leads
	s.mu.Unlock()
	box.deliver()
	if leads && s.lead(ctx, b.link, o) {
		return nil
	}
	return s.await(ctx, o)
}

// lead reads until o is answered, and reports whether it is. When ctx ends first, somebody else reads on.
func (s *Session) lead(ctx context.Context, l *link, o *op) bool {
	if ctx.Done() != nil {
		stop := context.AfterFunc(ctx, func() { _ = l.conn.SetReadDeadline(time.Unix(1, 0)) })
		defer stop() // if that comes too late, the next to read finds a deadline that is not meant for it, and takes it away
	}
	err := l.receive(ctx, s, o)
	if err == nil {
		return true
	}
	if !errors.Is(err, errInterrupted) {
		l.end(s, err)
	}
	defer outbox{resume: l}.deliver() // its own reader reads on, or finds it closed
	s.mu.Lock()
	defer s.mu.Unlock()
	o.leads = false
	return o.settled // if not, it is parked, and goes on with the next connection
}

// claim makes the link's own reader the one who reads, if nobody does.
func (s *Session) claim(l *link) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l.reading {
		return false
	}
	l.reading = true
	return true
}

// attentive tells whether notifications are waited for.
func (s *Session) attentive() bool { return s.waiters > 0 || len(s.forcing) > 0 }

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
	o.deferred = o.parked || o.tries > 0
	return context.Cause(ctx)
}
