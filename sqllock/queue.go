package sqllock

import (
	"context"
	"slices"
	"sync"
)

// queue keeps the goroutines of one Client apart, in front of the database: those who want one key stand in one line, in
// the order they came, and only the head of a line goes to the database. So a thousand waiting goroutines cost the database one
// waiter, and a backend whose locks are re-entrant within a connection never sees two holders of one process.
type queue struct {
	mu     sync.Mutex
	lines  map[string]*line
	closed bool
}

// line is one key: who of this process holds it, and who wants it.
type line struct {
	held     [3]int  // granted holders by Mode
	attempt  *ticket // the head, gone to the database
	waiting  []*ticket
	bypasses int // single attempts under way, which do not stand in line
}

// ticket is a place in a line, and later the fact that the key is held.
type ticket struct {
	key     string
	mode    Mode
	permits int
	bypass  bool
	ready   chan struct{} // closed when it is this ticket's turn; nil if it was so at once
}

// admits tells whether this process's own holders leave room. Where holders of permits disagree on their number the
// database decides; a line knows only the request's own.
func (l *line) admits(mode Mode, permits int) bool {
	x, s, p := l.held[ModeExclusive], l.held[ModeShared], l.held[ModePermit]
	switch mode {
	case ModeShared:
		return x+p == 0
	case ModePermit:
		return x+s == 0 && p < permits
	default:
		return x+s+p == 0
	}
}

// enter waits for t's turn to go to the database. The caller then calls granted or leave, exactly once.
func (q *queue) enter(ctx context.Context, t *ticket) error {
	q.mu.Lock()
	if q.closed {
		q.mu.Unlock()
		return ErrClosed
	}
	l := q.line(t.key)
	if l.attempt == nil && len(l.waiting) == 0 && l.admits(t.mode, t.permits) {
		l.attempt = t
		q.mu.Unlock()
		return nil
	}
	t.ready = make(chan struct{})
	l.waiting = append(l.waiting, t)
	q.mu.Unlock()

	select {
	case <-t.ready:
	case <-ctx.Done():
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	cause := context.Cause(ctx)
	switch i := slices.Index(l.waiting, t); {
	case q.closed:
		return ErrClosed
	case cause == nil:
		return nil
	case i >= 0:
		l.waiting = slices.Delete(l.waiting, i, i+1)
	default: // our turn came at the same instant: pass it on
		l.attempt = nil
	}
	q.advance(t.key, l)
	return cause
}

// tryEnter says whether a single attempt makes sense: not if this process itself holds the key in a way that excludes it.
// Waiters in line are no reason: whether they get the key is not known before the database has said so.
func (q *queue) tryEnter(t *ticket) (ok bool, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return false, ErrClosed
	}
	l := q.line(t.key)
	if !l.admits(t.mode, t.permits) {
		q.advance(t.key, l)
		return false, nil
	}
	t.bypass = true
	l.bypasses++
	return true, nil
}

// granted records that t's attempt has succeeded, and lets the next in line try where both can hold.
func (q *queue) granted(t *ticket) {
	q.mu.Lock()
	defer q.mu.Unlock()
	l := q.lines[t.key]
	q.attempted(l, t)
	l.held[t.mode]++
	q.advance(t.key, l)
}

// leave records that t's attempt has failed.
func (q *queue) leave(t *ticket) {
	q.mu.Lock()
	defer q.mu.Unlock()
	l := q.lines[t.key]
	q.attempted(l, t)
	q.advance(t.key, l)
}

// release records that t, once granted, is held no more.
func (q *queue) release(t *ticket) {
	q.mu.Lock()
	defer q.mu.Unlock()
	l := q.lines[t.key]
	l.held[t.mode]--
	q.advance(t.key, l)
}

// holds tells whether this process itself stands in the way of t.
func (q *queue) holds(t *ticket) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	l := q.lines[t.key]
	return l != nil && !l.admits(t.mode, t.permits)
}

// close ends all waiting in line with ErrClosed.
func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	for _, l := range q.lines {
		for _, t := range l.waiting {
			close(t.ready)
		}
		l.waiting = nil
	}
}

func (q *queue) line(key string) *line {
	l := q.lines[key]
	if l == nil {
		l = new(line)
		q.lines[key] = l
	}
	return l
}

func (q *queue) attempted(l *line, t *ticket) {
	if t.bypass {
		l.bypasses--
	} else {
		l.attempt = nil
	}
}

// advance gives the head of the line its turn if it can have it, and forgets a line that nobody needs.
func (q *queue) advance(key string, l *line) {
	if l.attempt != nil {
		return
	}
	if len(l.waiting) == 0 {
		if l.bypasses == 0 && l.held == [3]int{} {
			delete(q.lines, key)
		}
		return
	}
	if head := l.waiting[0]; l.admits(head.mode, head.permits) {
		l.waiting = l.waiting[1:]
		l.attempt = head
		close(head.ready)
	}
}
