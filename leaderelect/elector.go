package leaderelect

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/sqllock/toolkit/sqllock"
)

// Elector is one candidate of one election. Make it with [New]. It is safe for concurrent use.
type Elector struct {
	locks *sqllock.Client
	name  string
	cfg   Config
	value map[string]string // what is published

	running atomic.Bool
	ill     bool           // and has said so; of the goroutine of Run
	checks  sync.WaitGroup // of health, under way

	mu      sync.Mutex
	reign   *reign        // nil: not elected
	why     error         // the last outcome, for those who ask why this is not the leader
	changed chan struct{} // closed, and made anew, when a term begins or ends here
	seen    Leader        // the last leader that was seen
	stats   Stats
}

// New makes a candidate for the election of that name. Everybody who is to take part gives the same name to Clients of the same
// backend. Locks of the name are the same thing: who holds one keeps leaders out. It does no I/O.
//
// The error matches [sqllock.ErrInvalid].
func New(locks *sqllock.Client, name string, cfg Config) (*Elector, error) {
	if locks == nil {
		return nil, invalid("an elector needs a Client")
	}
	if err := sqllock.CheckName(name); err != nil {
		return nil, fmt.Errorf("leaderelect: %w", err)
	}
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	value, err := cfg.published()
	if err != nil {
		return nil, err
	}
	return &Elector{locks: locks, name: name, cfg: cfg, value: value, changed: make(chan struct{})}, nil
}

// Run campaigns, and leads when elected, again and again until ctx ends. Then it ends the term as Resign does, and returns nil, or the error of
// the last release: the lock will end with the Client's session then.
//
// Before that it returns only what campaigning again cannot mend: errors that match [sqllock.ErrInvalid], [sqllock.ErrSchema], [sqllock.ErrClosed], or
// [sqllock.ErrUnsupported], where Config has something to publish or to observe and the backend cannot; and [ErrRunning] at once if
// there is a Run already. Everything else, such as a database that does not answer, is logged and leads to a pause. A panic of OnElected or OnDemoted
// goes on to Run's caller, after the lock was released.
func (e *Elector) Run(ctx context.Context) (err error) {
	if !e.running.CompareAndSwap(false, true) {
		return ErrRunning
	}
	defer e.running.Store(false)
	defer e.checks.Wait()
	ctx, cancel := context.WithCancelCause(ctx)
	var watching sync.WaitGroup
	var unwatchable error
	defer func() {
		cancel(nil)
		watching.Wait()
		err = errors.Join(unwatchable, err)
	}()
	if e.cfg.OnLeaderChange != nil {
		watching.Go(func() {
			unwatchable = e.watch(ctx)
			cancel(unwatchable)
		})
	}
	pause := pause{standBack: e.cfg.StandBack, longest: e.cfg.MaxBackoff}
	for ctx.Err() == nil {
		o := e.campaign(ctx)
		if ctx.Err() != nil {
			return o.released
		}
		e.account(o)
		if o.final {
			return o.err
		}
		sleep(ctx, pause.after(o))
	}
	return nil
}

// account remembers how a campaign has ended.
func (e *Elector) account(o outcome) {
	switch {
	case o.failed:
		e.cfg.Logger.Warn("leaderelect: failed", "name", e.name, "error", o.err)
	case errors.Is(o.err, ErrUnhealthy) && !e.ill:
		e.ill = true
		e.cfg.Logger.Warn("leaderelect: stands back until it is healthy", "name", e.name, "error", o.err)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.why = o.err
	if o.failed {
		e.stats.Failures++
	}
}

// Resign ends the term, if there is one, and returns when the lock has been released: whoever waits for it is elected at once. OnElected is
// waited for; if it has not returned when ctx ends the error says so, and the resignation stands. Any other error is of the release, which is
// tried again in the background. Who has resigned stands back for [Config.StandBack].
//
// To resign from within OnElected is to return from it; a call of Resign there would wait for itself.
func (e *Elector) Resign(ctx context.Context) error {
	e.mu.Lock()
	r := e.reign
	e.mu.Unlock()
	if r == nil {
		return nil
	}
	r.end(ErrResigned)
	select {
	case <-r.over:
		return r.released
	case <-ctx.Done():
		return fmt.Errorf("leaderelect: resign of %q: OnElected has not returned yet, and the lock is held until it does: %w", e.name, context.Cause(ctx))
	}
}

// IsLeader is nil while this process leads: the term has begun, nothing has ended it, and the lock is held by the clock as it is now. Else the
// error matches [ErrNotLeader], and what is known of the reason. It asks neither the database nor ctx, which is there because
// schedulers that ask electors have it so.
func (e *Elector) IsLeader(context.Context) error { return e.leading() }

func (e *Elector) leading() error {
	e.mu.Lock()
	r, why := e.reign, e.why
	e.mu.Unlock()
	if r != nil && r.elected.Load() {
		if why = context.Cause(r.ctx); why == nil {
			why = r.term.lock.Err()
		}
		if why == nil {
			return nil
		}
	}
	if why == nil {
		return ErrNotLeader
	}
	return fmt.Errorf("%w: %w", ErrNotLeader, why)
}
