package leaderelect

import (
	"context"
	"fmt"
)

// healthy asks for the health. It does not wait for a check that ignores its context, because the lock may be held meanwhile; that
// is waited for before the next campaign.
func (e *Elector) healthy(ctx context.Context) error {
	if e.cfg.Health == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, e.cfg.HealthInterval)
	defer cancel()
	answer := make(chan error, 1)
	e.checks.Go(func() { answer <- e.cfg.Health(ctx) })
	var err error
	select {
	case err = <-answer:
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnhealthy, err)
	}
	return nil
}

// monitor ends a term whose health fails.
func (e *Elector) monitor(r *reign) {
	for {
		sleep(r.ctx, e.cfg.HealthInterval)
		if r.ctx.Err() != nil {
			return
		}
		if err := e.healthy(r.ctx); err != nil {
			r.end(err)
			return
		}
	}
}
