package advisory

import (
	"slices"
	"time"

	"github.com/sqllock/toolkit/sqllock"
)

// entry is what a session has to do with one key: what it holds there, who waits for it, what is on its way. The server would grant a
// session everything that it holds already, so this is what keeps goroutines apart.
//
// The server has been asked at most once for each lock that belongs to an entry, however many holders share it. That is what makes it possible to
// find out after an error, from a list that knows no counts, what the session really holds.
type entry struct {
	keys
	holds *Hold // linked by next
	busy  *op   // what is on its way, or parked
	line  *line // nil for most
	count int32
	mode  sqllock.Mode // of the holds
	seen  bool         // at the last look
	named bool         // the name is written down for others
}

// name is one of those that have this key, if the session holds it or waits for it.
func (e *entry) name() string {
	switch {
	case e.holds != nil:
		return e.holds.req.Name
	case e.line != nil && len(e.line.waiters) > 0:
		return e.line.waiters[0].req.Name
	}
	return ""
}

// line is the part of an entry that exists only where there is contention.
type line struct {
	pending  []*op
	waiters  []*waiter
	enlisted bool // the session has the companion
	intent   bool // the session has the intent

	contended time.Duration // until then others are expected to want the key too
	after     time.Duration // no attempts before: it is their turn
	back      time.Duration // for how long that was the last time
	unserved  bool          // and nobody is known to have used it

	// Ids of requests to give the key up: those that wait for the end of guarded transactions, and those to be answered when it is released.
	forced, acknowledge []string
	pause               time.Duration
}

func (e *entry) queue() *line {
	if e.line == nil {
		e.line = new(line)
	}
	return e.line
}

// empty tells whether nothing is held, waited for or on its way.
func (e *entry) empty() bool {
	if e.count > 0 || e.busy != nil {
		return false
	}
	l := e.line
	return l == nil || len(l.pending) == 0 && len(l.waiters) == 0 && !l.enlisted && !l.intent
}

// admits tells whether this session's own holds leave room.
func (e *entry) admits(req *sqllock.Request) bool {
	if e.count == 0 {
		return true
	}
	return e.mode == req.Mode && (req.Mode == sqllock.ModeShared || req.Mode == sqllock.ModePermit && int(e.count) < req.Permits)
}

// add records a grant.
func (e *entry) add(h *Hold) {
	e.mode = h.req.Mode
	e.count++
	h.next, e.holds = e.holds, h
}

func (e *entry) remove(h *Hold) {
	for at := &e.holds; *at != nil; at = &(*at).next {
		if *at == h {
			*at = h.next
			e.count--
			return
		}
	}
}

// freeSlots are those of n that this session does not have, beginning anywhere, so that sessions do not all try the same one first.
func (e *entry) freeSlots(n, start int) []int {
	free := make([]int, 0, n)
	for i := range n {
		slot := (start + i) % n
		taken := false
		for h := e.holds; h != nil; h = h.next {
			taken = taken || int(h.slot) == slot
		}
		if !taken {
			free = append(free, slot)
		}
	}
	return free
}

// cost is how many of the server's locks count holds of one key take.
func cost(m sqllock.Mode, count int32) int {
	switch {
	case count == 0:
		return 0
	case m == sqllock.ModeShared:
		return 2
	case m == sqllock.ModePermit:
		return 2 + int(count)
	default:
		return int(count)
	}
}

// permits is the number that the holders of permits have agreed on.
func (e *entry) permits() int { return e.holds.req.Permits }

// leave strikes a waiter off, and reports whether it was there.
func (l *line) leave(w *waiter) bool {
	i := slices.Index(l.waiters, w)
	if i < 0 {
		return false
	}
	l.waiters = slices.Delete(l.waiters, i, i+1)
	return true
}
