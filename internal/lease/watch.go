package lease

import "context"

// watchLocked has the store watch for pushes while a session is in use, and only then.
func (e *Engine) watchLocked() {
	close(e.changed)
	e.changed = make(chan struct{})

	needed := false
	for _, s := range e.sessions {
		needed = needed || !s.dormant
	}
	switch {
	case needed && e.watching == nil && !e.closed:
		ctx, cancel := context.WithCancel(e.ctx)
		e.watching = cancel
		e.renewals.Add(1)
		go func() {
			defer e.renewals.Done()
			e.store.Watch(ctx, e)
		}()
	case !needed && e.watching != nil:
		e.watching()
		e.watching = nil
	}
}

// Sessions implements [Events].
func (e *Engine) Sessions() ([]SessionID, <-chan struct{}) {
	e.mu.Lock()
	defer e.mu.Unlock()
	ids := make([]SessionID, 0, len(e.sessions))
	for id, s := range e.sessions {
		if !s.dormant {
			ids = append(ids, id)
		}
	}
	return ids, e.changed
}

// Watching implements [Events]: what was pushed before may have been missed, so every waiter tries once more.
func (e *Engine) Watching() { e.Changed() }

// Changed implements [Events].
func (e *Engine) Changed() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, a := range e.waiters {
		e.wakeLocked(a)
	}
}

// Interrupted implements [Events]: a release that the database has lost would keep its name locked for as long as the session lives.
func (e *Engine) Interrupted() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, s := range e.sessions {
		e.doubtLocked(s)
	}
}

// Woken implements [Events].
func (e *Engine) Woken(waiter int64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if a := e.waiters[waiter]; a != nil {
		e.wakeLocked(a)
	}
}

// Observed implements [Events]. An epoch that we have not set says that somebody has taken locks from us.
func (e *Engine) Observed(id SessionID, epoch int64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	s := e.sessions[id]
	if s == nil {
		return
	}
	s.observed = max(s.observed, epoch)
	if s.observed > s.epoch && !s.reconciling {
		e.doubtLocked(s)
	}
}

func (e *Engine) wakeLocked(a *attempt) {
	switch a.state {
	case sleeping:
		e.sleepers.remove(a)
		e.requeueLocked(a)
	case onWire:
		a.woken = true // the answer under way may be older than the push
	}
}
