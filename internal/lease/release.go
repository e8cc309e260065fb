package lease

import (
	"errors"
	"time"

	"github.com/sqllock/toolkit/sqllock"
)

// release is a Hold on its way out. Deleting its row is idempotent, so it is repeated until the database has answered or the
// session has ended, which has the same effect. Guarded by Engine.mu.
type release struct {
	hold     *Hold
	failures int
	delay    time.Duration
	settled  *settlement // nil: nobody waits
	err      error       // the outcome, or what happened last
	done     bool
}

func (r *release) finish(err error) {
	r.err = err
	r.done = true
	if r.settled != nil {
		r.settled.settle()
	}
}

// runReleases sends a batch of releases.
func (e *Engine) runReleases(lane int, batch []*release) {
	refs := make([]Ref, len(batch))
	for i, r := range batch {
		refs[i] = r.hold.ref
	}
	ctx, cancel := e.call()
	freed, err := e.store.Release(ctx, lane, refs)
	cancel()

	e.mu.Lock()
	defer e.mu.Unlock()
	for i, r := range batch {
		s := r.hold.session
		switch {
		case err != nil:
			r.failures++
			r.err = err
			e.retryReleaseLocked(r, min(10*time.Millisecond<<min(r.failures-1, 10), s.ttl/3))
		case freed[i] == Guarded:
			r.err = errGuarded
			r.delay = min(max(2*r.delay, 2*time.Millisecond), 50*time.Millisecond)
			e.retryReleaseLocked(r, e.jitter(r.delay))
		case freed[i] == Missing && r.failures == 0:
			// While the session lives, only ForceRelease takes a holder away.
			reason := sqllock.ErrForced
			if end := s.ended.Load(); end != nil {
				reason = end.reason
			}
			e.forgetLocked(r.hold)
			r.finish(r.hold.lost(reason))
		default:
			// Missing after a failure: the request that failed had been carried out.
			e.forgetLocked(r.hold)
			r.finish(nil)
		}
	}
}

func (e *Engine) retryReleaseLocked(r *release, d time.Duration) {
	if end := r.hold.session.ended.Load(); end != nil {
		// Its end deletes the row, and nobody holds by it any more.
		r.finish(r.hold.lost(end.reason))
		return
	}
	if r.failures == 1 && !errors.Is(r.err, errGuarded) {
		e.releases = append(e.releases, r) // a connection that broke while idle is found out by the first use
		return
	}
	e.delayed[r] = struct{}{}
	e.later(d, func() {
		if _, ok := e.delayed[r]; ok {
			delete(e.delayed, r)
			e.releases = append(e.releases, r)
		}
	})
}

// endReleasesLocked answers those who wait for a release that was to be repeated: the end of its session does the rest.
func (e *Engine) endReleasesLocked(s *session, reason error) {
	for r := range e.delayed {
		if r.hold.session == s {
			delete(e.delayed, r)
			r.finish(r.hold.lost(reason))
		}
	}
}

func (e *Engine) forgetLocked(h *Hold) { delete(h.session.holds, h.ref) }
