package sqllock

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Acquire waits until name is locked for the caller, or ctx or the time given with [Wait] ends. The context bounds the waiting
// only, not the holding. Locks are not re-entrant: a goroutine that acquires a name twice waits for itself.
//
// When the wait ends first, the error matches [ErrNotAcquired] and the context's cause, unless the last attempt failed on the
// database: then it is that error. If the database has not answered even once, nobody knows whether the lock is held, and the
// error matches the cause only. It matches [ErrInvalid], [ErrUnsupported], [ErrClosed], [ErrSchema] or [ErrRefused] where they apply;
// any other is of the database. A first attempt that fails on the database ends the wait at once; later failures of the connection do
// not, because a waiter outlives a restart of the server.
func (c *Client) Acquire(ctx context.Context, name string, opts ...Option) (*Lock, error) {
	l, o, err := c.prepare(name, opts)
	if err != nil {
		return nil, err
	}
	return c.acquire(ctx, l, o)
}

// TryAcquire makes one attempt. The error matches [ErrNotAcquired] if the lock is held elsewhere or others wait for it; an error of the
// database never does, nor that of a context which ends before the answer. Other errors are those of [Client.Acquire].
func (c *Client) TryAcquire(ctx context.Context, name string, opts ...Option) (*Lock, error) {
	l, o, err := c.prepare(name, opts)
	if err != nil {
		return nil, err
	}
	o.wait, o.hasWait = 0, true
	return c.acquire(ctx, l, o)
}

// Do runs fn while name is locked. The context that fn gets is cancelled, with the [LostError] as its cause, if the lock is
// lost, and with [ErrClosed] if the Client is closed; then Do returns that error, joined with fn's, even if fn returned nil. The lock
// is released when fn returns or panics. An error of the release itself is joined too: fn has run, and the lock will end with the
// session.
func (c *Client) Do(ctx context.Context, name string, fn func(ctx context.Context) error, opts ...Option) (err error) {
	l, err := c.Acquire(ctx, name, opts...)
	if err != nil {
		return err
	}
	held, cancel := l.Context(ctx)
	defer func() {
		cancel()
		err = errors.Join(err, l.conclude(ctx))
	}()
	return fn(held)
}

func (c *Client) acquire(ctx context.Context, l *Lock, o options) (_ *Lock, err error) {
	try := o.hasWait && o.wait == 0
	traced := c.cfg.tracer.TraceAcquireStart(ctx, AcquireStart{Name: l.req.Name, Mode: l.req.Mode, Try: try})
	defer func() {
		c.cfg.tracer.TraceAcquireEnd(traced, AcquireEnd{Name: l.req.Name, Token: l.Token(), Err: err})
	}()

	if err := wanted(ctx, l); err != nil {
		return nil, err
	}
	var hold Hold
	if try {
		hold, err = c.try(ctx, l)
	} else {
		ctx, cancel := waiting(ctx, o)
		defer cancel()
		hold, err = c.wait(ctx, l)
	}
	if err != nil {
		return nil, err
	}
	if err := l.start(hold); err != nil {
		return nil, err
	}
	return l, nil
}

func (c *Client) try(ctx context.Context, l *Lock) (Hold, error) {
	ok, err := c.queue.tryEnter(&l.ticket)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, c.heldHere(l, nil)
	}
	return c.settle(c.tryOne(ctx, l), l)
}

func (c *Client) wait(ctx context.Context, l *Lock) (Hold, error) {
	if err := c.queue.enter(ctx, &l.ticket); err != nil {
		if errors.Is(err, ErrClosed) {
			return nil, err
		}
		return nil, c.heldHere(l, err)
	}
	l.req.Waits = true
	r := c.tryOne(ctx, l)
	if held, ok := errors.AsType[*HeldError](r.Err); ok {
		if cause := context.Cause(ctx); cause != nil {
			r.Err = held.endedBy(cause)
		} else {
			r.Hold, r.Err = c.session.Wait(ctx, &l.req)
		}
	}
	return c.settle(r, l)
}

func (c *Client) tryOne(ctx context.Context, l *Lock) Result {
	s := singles.Get().(*single)
	s.reqs[0] = &l.req
	c.session.Try(ctx, s.reqs[:], s.results[:])
	r := s.results[0]
	s.free()
	return r
}

// single is what a session is asked about one lock.
type single struct {
	reqs    [1]*Request
	results [1]Result
	answer  [1]error
}

var singles = sync.Pool{New: func() any { return new(single) }}

func (s *single) free() {
	*s = single{}
	singles.Put(s)
}

// settle tells the queue how an attempt has ended.
func (c *Client) settle(r Result, l *Lock) (Hold, error) {
	if r.Err != nil {
		c.queue.leave(&l.ticket)
		return nil, r.Err
	}
	c.queue.granted(&l.ticket)
	return r.Hold, nil
}

// wanted is the error of a request whose context had ended before it was made: nobody has been asked.
func wanted(ctx context.Context, l *Lock) error {
	if cause := context.Cause(ctx); cause != nil {
		return fmt.Errorf("sqllock: lock %q was not asked for: %w", l.req.Name, cause)
	}
	return nil
}

// heldHere is the answer to a request that this process itself stands in the way of.
func (c *Client) heldHere(l *Lock, cause error) error {
	e := &HeldError{Name: l.req.Name, Cause: cause}
	if c.queue.holds(&l.ticket) {
		e.Owner = c.cfg.owner
	}
	return e
}

// waiting bounds ctx by Wait, unless that asks for a single attempt, which ends by itself. The cause is not a context.DeadlineExceeded, which would look like the caller's own.
func waiting(ctx context.Context, o options) (context.Context, context.CancelFunc) {
	if !o.hasWait || o.wait == 0 {
		return ctx, func() {}
	}
	return context.WithTimeoutCause(ctx, o.wait, waitedError(o.wait))
}

type waitedError time.Duration

func (e waitedError) Error() string { return fmt.Sprintf("waited %v", time.Duration(e)) }
