package sqllock

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"
)

// The pauses of [Client.Work] after failures in a row.
const (
	shortestPause = 100 * time.Millisecond
	longestPause  = 30 * time.Second
)

// Work runs fn in one process at a time: a singleton worker. Every process that could do the work calls it. Work waits until it holds the lock
// of name, for as long as ctx lasts, whatever [Wait] says, and runs fn, which goes on until it is done or its context ends. When fn fails or the lock
// is lost, the lock is released, so that another process has its turn, and after a pause Work waits for it again.
//
// The context of fn ends with ctx, and with the lock: then its cause is the [LostError], another process may be at work already, and fn has to return.
// It is waited for, so here too no other fn runs beside it. If it panics, the lock is released and the panic goes on.
//
// The pause is 0.1 s, doubled for each failure in a row up to 30 s, of which a random part of up to a half is left out. A run of fn that lasted for 30 s begins
// that anew. An error of the database, such as [ErrRefused] by a standby, is a failure too. Each goes to the [Logger]; [Client.Ping] tells beforehand.
//
// Work returns nil when fn has returned nil while the lock was held: the work is done, and whoever waits for the lock does its own. When ctx has ended it returns what fn
// returns then, or while fn does not run an error that matches the cause of ctx. Before that it returns only what another attempt cannot mend: errors that match
// [ErrInvalid], [ErrUnsupported], [ErrSchema] or [ErrClosed]; Close may be noticed only after the pause. An error of the last release is returned as [Client.Do] does.
//
// With [Permits] so many run at once. With [AtLeast], which needs leases, fn is not begun again by anybody, here neither, before that time has passed.
func (c *Client) Work(ctx context.Context, name string, fn func(ctx context.Context) error, opts ...Option) error {
	var pause time.Duration
	for {
		worked, last, err := c.turn(ctx, name, fn, opts)
		if last || ctx.Err() != nil {
			return err
		}
		if worked >= longestPause {
			pause = 0
		}
		pause = min(max(2*pause, shortestPause), longestPause)
		c.cfg.logger.Warn("sqllock: work failed", "name", name, "error", err)
		if err := c.sleep(ctx, pause); err != nil {
			return err
		}
	}
}

// turn waits for the lock and runs fn under it. last says that there is no sense in another turn: fn is done, or will never run.
func (c *Client) turn(ctx context.Context, name string, fn func(context.Context) error, opts []Option) (worked time.Duration, last bool, err error) {
	l, o, err := c.prepare(name, opts)
	if err != nil {
		return 0, true, err
	}
	o.hasWait = false
	if l, err = c.acquire(ctx, l, o); err != nil {
		if cause := context.Cause(ctx); cause != nil && !errors.Is(err, cause) {
			err = errors.Join(cause, err) // the database failed at the end
		}
		return 0, hopeless(err), err
	}
	held, cancel := l.Context(ctx)
	began := c.cfg.clock.Now()
	defer func() {
		cancel()
		end := l.conclude(ctx)
		worked = c.cfg.clock.Now() - began
		last = errors.Is(end, ErrClosed) || err == nil && !errors.Is(end, ErrLost)
		if end != nil && !errors.Is(err, end) { // as it is where fn returns the cause of its context
			err = errors.Join(end, err)
		}
	}()
	return 0, false, fn(held)
}

// hopeless tells whether asking for the lock again cannot mend the error.
func hopeless(err error) bool {
	return errors.Is(err, ErrInvalid) || errors.Is(err, ErrUnsupported) || errors.Is(err, ErrSchema) || errors.Is(err, ErrClosed)
}

// sleep waits for up to d, but at least for half of it, so that processes which failed together do not come again together. The error is the
// cause of ctx, if that ends it.
func (c *Client) sleep(ctx context.Context, d time.Duration) error {
	d -= time.Duration(rand.New(c.cfg.rand).Int64N(int64(d/2) + 1))
	awake := make(chan struct{})
	timer := c.cfg.clock.AfterFunc(d, func() { close(awake) })
	defer timer.Stop()
	select {
	case <-awake:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
