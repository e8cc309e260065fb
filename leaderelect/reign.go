package leaderelect

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sqllock/toolkit/sqllock"
)

// reign is the time for which the lock is held: that of a term, and before it what the term needs.
type reign struct {
	term   Term
	ctx    context.Context // ends with the lock, and before it with whatever ends the term
	end    context.CancelCauseFunc
	forget context.CancelFunc // takes the hook off the lock

	elected atomic.Bool // the term has begun
	began   time.Time
	traced  context.Context // of OnElected
	monitor sync.WaitGroup

	over     chan struct{} // closed when the lock has been released
	released error         // to be read then
}

// errOver is the cause of contexts that outlive their term.
var errOver = errors.New("leaderelect: the term is over")

func newReign(ctx context.Context, lock *sqllock.Lock) *reign {
	r := &reign{term: Term{Token: lock.Token(), lock: lock}, over: make(chan struct{})}
	held, forget := lock.Context(ctx)
	r.forget = forget
	r.ctx, r.end = context.WithCancelCause(held)
	return r
}

// outcome is how a term has ended whose OnElected has returned err.
func (r *reign) outcome(err error) outcome {
	cause := context.Cause(r.ctx)
	if cause == nil {
		cause = r.term.lock.Err() // timers may be late
	}
	if cause != nil && (errors.Is(err, cause) || errors.Is(err, context.Canceled)) {
		err = nil // that is how one says that the context has ended
	}
	o := outcome{err: cause, lost: errors.Is(cause, sqllock.ErrLost), final: errors.Is(cause, sqllock.ErrClosed)}
	if err != nil {
		o.err = errors.Join(cause, err)
	}
	o.failed = o.lost || err != nil
	o.standsBack = !o.lost
	return o
}
