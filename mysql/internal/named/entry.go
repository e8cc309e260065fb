package named

import (
	"slices"
	"time"
)

// entry is what a session has to do with one key. The server would grant a connection what it holds already, so this is what keeps goroutines
// apart; between connections, be they of one process or of many, the server does.
type entry struct {
	key     string
	hold    *Hold
	busy    *op   // an attempt or a release that is on its way
	pending []*op // after that
	waiters []*waiter
	parked  *link         // which waits in the server for the first of waiters
	calling bool          // a connection is being made for that
	aloof   time.Duration // no such connection before

	contended time.Duration // until then others are expected to want the key too
}

// empty tells whether nothing is held, waited for or on its way.
func (e *entry) empty() bool {
	return e.hold == nil && e.busy == nil && len(e.pending) == 0 && len(e.waiters) == 0 && e.parked == nil && !e.calling
}

// leave strikes a waiter off.
func (e *entry) leave(w *waiter) {
	if i := slices.Index(e.waiters, w); i >= 0 {
		e.waiters = slices.Delete(e.waiters, i, i+1)
	}
}
