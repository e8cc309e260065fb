package leaderelect

import (
	"context"
	"math/rand/v2"
	"time"
)

// shortestBackoff is the pause after the first failure.
const shortestBackoff = 100 * time.Millisecond

// pause is for how long an elector keeps out of the next election.
type pause struct {
	standBack, longest time.Duration
	backoff            time.Duration // the last one; 0: there was no failure since
}

func (p *pause) after(o outcome) (d time.Duration) {
	if !o.failed || o.led >= p.longest {
		p.backoff = 0
	}
	if o.failed {
		p.backoff = min(max(2*p.backoff, shortestBackoff), p.longest)
		d = p.backoff/2 + rand.N(p.backoff/2+1) // so that candidates that failed together do not come again together
	}
	if o.standsBack {
		d = max(d, p.standBack)
	}
	return d
}

// sleep waits for d, or until ctx ends.
func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
