package sqllock

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Lock is one held lock. Its methods are safe for concurrent use. It costs no goroutine.
type Lock struct {
	client *Client
	req    Request
	ticket ticket
	hold   [1]Hold // an array, so that releasing one needs no allocation
	since  time.Duration

	mu      sync.Mutex
	started bool
	end     error         // nil while held; then a *LostError, or ErrReleased, or ErrClosed
	done    chan struct{} // made when somebody asks for it
	hooks   []*hook
}

// hook is called once, when the lock ends, with the reason.
type hook struct{ f func(error) }

// Name is the name that is locked.
func (l *Lock) Name() string { return l.req.Name }

// Mode is how it is locked.
func (l *Lock) Mode() Mode { return l.req.Mode }

// Token is the fencing token: strictly larger for each later holder of the name, for as long as the database lives.
// 0 says that this backend was not asked for tokens.
func (l *Lock) Token() int64 {
	if l.hold[0] == nil {
		return 0
	}
	return l.hold[0].Token()
}

// Hold is the lock as its backend knows it. It is meant for backends.
func (l *Lock) Hold() Hold { return l.hold[0] }

// Done is closed when the lock is no longer held, for any reason. It is as prompt as a timer can be: a process that was stopped
// learns late, so ask Err before anything that must not happen twice, or use the backend's Guard.
func (l *Lock) Done() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.done == nil {
		l.done = make(chan struct{})
		if l.end != nil {
			close(l.done)
		}
	}
	return l.done
}

// Err is nil while the lock is held as far as this process can tell; it reads the clock, but not the database. Afterwards it matches
// [ErrLost] (a [LostError] with the reason), [ErrReleased] or [ErrClosed], for ever.
func (l *Lock) Err() error {
	l.mu.Lock()
	end := l.end
	l.mu.Unlock()
	if end != nil {
		return end
	}
	if err := l.hold[0].Err(); err != nil {
		l.finish(l.reason(err))
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.end
	}
	return nil
}

// Context derives a context that is cancelled when the lock ends, with the error of [Lock.Err] as its cause. Call cancel when
// done with it.
func (l *Lock) Context(parent context.Context) (ctx context.Context, cancel context.CancelFunc) {
	ctx, cause := context.WithCancelCause(parent)
	remove := l.onEnd(func(err error) { cause(err) })
	return ctx, func() {
		remove()
		cause(nil)
	}
}

// Deadline is until when the lock is certainly ours even if the database cannot be reached, on this process's wall clock.
// Each renewal moves it. The zero time says that there is no such instant.
func (l *Lock) Deadline() time.Time {
	d, ok := l.hold[0].Deadline()
	if !ok {
		return time.Time{}
	}
	return time.Now().Add(d - l.client.cfg.clock.Now())
}

// Verify asks the database whether the lock is held. The error is that of [Lock.Err] if it is not; any other is
// of the database and says that we do not know.
func (l *Lock) Verify(ctx context.Context) error {
	if err := l.Err(); err != nil {
		return err
	}
	return l.explain(l.hold[0].Verify(ctx))
}

// Release gives the lock up. From this call on it is no longer held, whatever the database answers. It works with a cancelled
// context, and waits at most five seconds for the database, eight for a session lock on MySQL.
//
// The error matches [ErrLost] if the lock was already gone. Any other is of the database: the release is tried again in the
// background, and the lock ends with the session at the latest. A second Release is nil, or ErrLost after a loss.
func (l *Lock) Release(ctx context.Context) error {
	if !l.begin() {
		if err := l.Err(); errors.Is(err, ErrLost) {
			return err
		}
		return nil
	}
	c := l.client
	traced := c.cfg.tracer.TraceReleaseStart(ctx, ReleaseStart{Name: l.req.Name, Token: l.Token(), Held: l.heldFor()})
	s := singles.Get().(*single)
	c.session.Release(c.patience.context(), l.hold[:], s.answer[:])
	err := l.released(s.answer[0])
	s.free()
	c.cfg.tracer.TraceReleaseEnd(traced, ReleaseEnd{Name: l.req.Name, Err: err})
	return err
}

// conclude is Release after work that was to be done under the lock: that it ended before, with the Client, is news too.
func (l *Lock) conclude(ctx context.Context) error {
	err := l.Release(ctx)
	if closed := l.Err(); errors.Is(closed, ErrClosed) {
		return closed
	}
	return err
}

// begin ends the lock for this process before the database is told, and reports whether it was held until now.
func (l *Lock) begin() bool {
	return l.Err() == nil && l.finish(ErrReleased)
}

// released takes in what the database answered to a release.
func (l *Lock) released(err error) error {
	l.client.queue.release(&l.ticket)
	if errors.Is(err, ErrLost) {
		lost := l.reason(err)
		l.mu.Lock()
		l.end = lost
		l.mu.Unlock()
		return lost
	}
	if err != nil {
		return fmt.Errorf("sqllock: release of %q: %w", l.req.Name, err)
	}
	return nil
}

// start makes the lock held. It may have been lost before it got here.
func (l *Lock) start(h Hold) error {
	l.mu.Lock()
	l.hold[0] = h
	if l.client.cfg.traced() {
		l.since = l.client.cfg.clock.Now()
	}
	l.started = true
	end := l.end
	l.mu.Unlock()
	if end != nil {
		l.client.queue.release(&l.ticket)
		return end
	}
	return nil
}

// heldFor is for tracers. Where there is none the clock is not read.
func (l *Lock) heldFor() time.Duration {
	if !l.client.cfg.traced() {
		return 0
	}
	return l.client.cfg.clock.Now() - l.since
}

// finish ends the lock, once.
func (l *Lock) finish(err error) bool {
	l.mu.Lock()
	if l.end != nil {
		l.mu.Unlock()
		return false
	}
	l.end = err
	started, hooks := l.started, l.hooks
	l.hooks = nil
	if l.done != nil {
		close(l.done)
	}
	l.mu.Unlock()

	for _, h := range hooks {
		h.f(err)
	}
	if errors.Is(err, ErrReleased) || !started {
		return true
	}
	l.client.queue.release(&l.ticket)
	if errors.Is(err, ErrLost) {
		l.client.cfg.tracer.TraceLost(LostData{Name: l.req.Name, Token: l.Token(), Held: l.heldFor(), Err: err})
	}
	return true
}

// onEnd has f called once when the lock ends, now if it has ended.
func (l *Lock) onEnd(f func(error)) (remove func()) {
	if err := l.Err(); err != nil {
		f(err)
		return func() {}
	}
	h := &hook{f}
	l.mu.Lock()
	if end := l.end; end != nil {
		l.mu.Unlock()
		f(end)
		return func() {}
	}
	l.hooks = append(l.hooks, h)
	l.mu.Unlock()
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		for i := range l.hooks {
			if l.hooks[i] == h {
				l.hooks = append(l.hooks[:i:i], l.hooks[i+1:]...)
				return
			}
		}
	}
}

// reason is why the lock ended, in the words that its holder sees.
func (l *Lock) reason(err error) error {
	if errors.Is(err, ErrClosed) {
		return ErrClosed
	}
	var lost *LostError
	if errors.As(err, &lost) {
		return lost
	}
	return &LostError{Name: l.req.Name, Reason: err}
}

// explain turns a backend's answer about this lock into the lock's own state.
func (l *Lock) explain(err error) error {
	if !errors.Is(err, ErrLost) {
		return err
	}
	l.finish(l.reason(err))
	return l.Err()
}

// holder is the side of a Lock that its backend talks to.
type holder Lock

func (h *holder) Lost(reason error) {
	l := (*Lock)(h)
	l.finish(l.reason(reason))
}
