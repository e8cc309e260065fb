package leaderelect

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/sqllock/toolkit/sqllock"
)

// outcome is how a campaign, and the term that it may have led to, has ended.
type outcome struct {
	err        error // why; nil: OnElected has returned nil of its own
	released   error // what the release answered, unless the lock was lost
	led        time.Duration
	lost       bool
	failed     bool // a loss is a failure, too
	standsBack bool // others should be elected
	final      bool // campaigning again cannot mend it
}

// campaign waits to be elected, and leads.
func (e *Elector) campaign(ctx context.Context) outcome {
	e.checks.Wait()
	if err := e.healthy(ctx); err != nil {
		return outcome{err: err, standsBack: true}
	}
	e.ill = false
	traced := e.cfg.Tracer.TraceCampaignStart(ctx, CampaignStart{Name: e.name})
	lock, err := e.acquire(ctx)
	end := CampaignEnd{Name: e.name, Err: err}
	if err == nil {
		end.Token = lock.Token()
	}
	e.cfg.Tracer.TraceCampaignEnd(traced, end)
	if err != nil {
		return outcome{err: err, failed: true, final: hopeless(err)}
	}
	return e.hold(ctx, lock)
}

// acquire waits for the lock. Where values are stored with locks, nobody sees a leader without its own.
func (e *Elector) acquire(ctx context.Context) (*sqllock.Lock, error) {
	opts := []sqllock.Option{sqllock.Wait(math.MaxInt64 / 2)} // whatever the Client's default is
	if e.value != nil && e.locks.Capabilities().Metadata {
		opts = append(opts, sqllock.Metadata(e.value))
	}
	return e.locks.Acquire(ctx, e.name, opts...)
}

// publishTimeout bounds how long the lock is held by somebody who cannot lead for want of a place to publish.
const publishTimeout = 10 * time.Second

// publish tells others who leads. Who has nothing to tell leads without, where there is no place for it.
func (e *Elector) publish(ctx context.Context, lock *sqllock.Lock) error {
	if e.locks.Capabilities().Metadata {
		return nil // it came with the lock
	}
	ctx, cancel := context.WithTimeout(ctx, publishTimeout)
	defer cancel()
	err := lock.Publish(ctx, e.value)
	if errors.Is(err, sqllock.ErrUnsupported) && e.value == nil {
		return nil
	}
	if err != nil {
		return fmt.Errorf("leaderelect: publish for %q: %w", e.name, err)
	}
	return nil
}

// hold does everything that is done while the lock is held. However it ends, by a panic too, the lock is released.
func (e *Elector) hold(ctx context.Context, lock *sqllock.Lock) (o outcome) {
	r := newReign(ctx, lock)
	e.mu.Lock()
	e.reign = r
	e.mu.Unlock()
	o = outcome{err: ErrPanicked, failed: true} // unless something returns
	defer func() { e.finish(ctx, r, &o) }()

	published, ill := e.publish(r.ctx, lock), error(nil)
	if published == nil {
		ill = e.healthy(r.ctx)
	}
	switch {
	case r.ctx.Err() != nil || lock.Err() != nil: // whatever has come of that
		return r.outcome(nil)
	case published != nil:
		return outcome{err: published, failed: true, final: hopeless(published)}
	case ill != nil:
		return outcome{err: ill, standsBack: true}
	}
	e.begin(r)
	return r.outcome(e.cfg.OnElected(r.traced, r.term))
}

// begin is the start of a term.
func (e *Elector) begin(r *reign) {
	r.traced = e.cfg.Tracer.TraceTermStart(r.ctx, TermStart{Name: e.name, Token: r.term.Token})
	e.cfg.Logger.Info("leaderelect: elected", "name", e.name, "token", r.term.Token)
	if e.cfg.Health != nil {
		r.monitor.Go(func() { e.monitor(r) })
	}
	r.began = time.Now()
	r.elected.Store(true)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.stats.Terms++
	e.announce()
}

// finish releases the lock, and ends the term if one has begun.
func (e *Elector) finish(ctx context.Context, r *reign, o *outcome) {
	r.end(errOver) // for what OnElected may have left running
	err := r.term.lock.Release(ctx)
	r.forget()
	if err != nil {
		e.cfg.Logger.Warn("leaderelect: release", "name", e.name, "error", err)
	}
	switch {
	case !errors.Is(err, sqllock.ErrLost):
		r.released, o.released = err, err
	case !o.lost: // it was noticed only now
		o.err, o.lost, o.failed = errors.Join(o.err, err), true, true
	}
	elected := r.elected.Load()
	e.mu.Lock()
	e.reign = nil
	if elected && o.lost {
		e.stats.Losses++
	}
	e.announce()
	e.mu.Unlock()
	close(r.over)
	r.monitor.Wait()
	if !elected {
		return
	}
	o.led = time.Since(r.began)
	e.cfg.Logger.Info("leaderelect: term over", "name", e.name, "token", r.term.Token, "after", o.led, "reason", o.err)
	e.cfg.Tracer.TraceTermEnd(r.traced, TermEnd{Name: e.name, Token: r.term.Token, Led: o.led, Reason: o.err})
	e.cfg.OnDemoted(r.term, o.err)
}
