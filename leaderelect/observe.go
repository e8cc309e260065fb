package leaderelect

import (
	"context"
	"errors"
	"iter"
	"math/rand/v2"
	"time"

	"github.com/sqllock/toolkit/sqllock"
)

// askTimeout is after what time an observer is told that the database does not answer.
const askTimeout = 5 * time.Second

// Observe tells who leads, now and after each change, until ctx ends or the loop is left:
//
//	for leader, err := range elector.Observe(ctx) {
//		switch {
//		case errors.Is(err, sqllock.ErrNoLeader): // nobody leads
//		case err != nil: // the database says so: somebody may lead, or nobody
//		default: // leader does, or is about to
//		}
//	}
//
// It asks the database in the goroutine of the loop, about every [Config.ObserveInterval] and at once when a term of this elector begins or
// ends: no backend pushes changes of other processes. So it never blocks the elector, terms are told in the order of the elections, and who is
// slow misses those that have ended meanwhile. After an error that asking again cannot mend ([sqllock.ErrUnsupported],
// [sqllock.ErrClosed], [sqllock.ErrSchema]) it ends. The elector need not be running.
func (e *Elector) Observe(ctx context.Context) iter.Seq2[Leader, error] {
	return func(yield func(Leader, error) bool) {
		var last Leader
		var lastErr error
		for first := true; ; first = false {
			e.mu.Lock()
			changed := e.changed // before asking, so that nothing is missed
			e.mu.Unlock()
			asking, cancel := context.WithTimeout(ctx, askTimeout)
			leader, err := e.Leader(asking)
			cancel()
			if ctx.Err() != nil {
				return
			}
			if first || !same(err, lastErr) || !leader.equal(last) {
				if !yield(leader, err) || hopeless(err) {
					return
				}
				last, lastErr = leader, err
			}
			timer := time.NewTimer(e.cfg.ObserveInterval*3/4 + rand.N(e.cfg.ObserveInterval/2)) // so that followers do not ask all at once
			select {
			case <-changed:
			case <-timer.C:
			case <-ctx.Done():
			}
			timer.Stop()
			if ctx.Err() != nil {
				return
			}
		}
	}
}

// same tells whether there is nothing new in err.
func same(err, last error) bool {
	if err == nil || last == nil {
		return err == nil && last == nil
	}
	return err.Error() == last.Error()
}

// watch calls OnLeaderChange until ctx ends, or for as long as asking can help.
func (e *Elector) watch(ctx context.Context) error {
	var told Leader
	for leader, err := range e.Observe(ctx) {
		switch {
		case hopeless(err):
			return err
		case err != nil && !errors.Is(err, sqllock.ErrNoLeader):
			e.cfg.Logger.Warn("leaderelect: who leads is not known", "name", e.name, "error", err)
			continue
		}
		if !leader.equal(told) {
			told = leader
			e.cfg.OnLeaderChange(leader)
		}
	}
	return nil
}

// announce wakes those who observe. The mutex is held.
func (e *Elector) announce() {
	close(e.changed)
	e.changed = make(chan struct{})
}
