package sqllock

import (
	"context"
	"sync"
	"time"
)

// patience gives out contexts that bound releases. Those who ask within a fraction of the bound share one, because a timer for each would
// cost as much as the rest of a release does here.
type patience struct {
	mu    sync.Mutex
	ctx   context.Context
	fresh time.Time // until then ctx is given out
}

// context ends after releaseTimeout or a twentieth earlier, whatever becomes of the caller's.
func (p *patience) context() context.Context {
	p.mu.Lock()
	defer p.mu.Unlock()
	if now := time.Now(); !now.Before(p.fresh) {
		// It ends by itself: nobody can tell when the last of those who share it has gone.
		ctx, cancel := context.WithCancelCause(context.Background())
		time.AfterFunc(releaseTimeout, func() { cancel(context.DeadlineExceeded) })
		p.ctx, p.fresh = ctx, now.Add(releaseTimeout/20)
	}
	return p.ctx
}
