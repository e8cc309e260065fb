package lease

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sqllock/toolkit/sqllock"
)

// attempt is one request on its way to a Hold. A single attempt is settled by the first answer; a waiting one goes to
// sleep and is tried again until it is granted or its caller leaves. Its fields are guarded by Engine.mu.
type attempt struct {
	want   Want
	ttl    time.Duration
	holder sqllock.Holder
	wait   bool

	session  *session // whose waiting count includes this attempt
	waiter   int64    // id of the waiter's row, 0 while not enlisted
	busy     int      // how often in a row it met a locked resource
	failures int      // how often in a row the database failed
	state    state
	wakeAt   time.Duration
	woken    bool // pushed while it was on the wire

	last    error // why it is not granted yet
	result  sqllock.Result
	settled *settlement
}

type state uint8

const (
	queued   state = iota // waits for the worker
	onWire                // the worker has it
	sleeping              // waits for a push or for wakeAt
	done
	abandoned // the caller has left while it was on the wire: whatever is granted is given back
)

// settlement is closed when all attempts of one caller are settled.
type settlement struct {
	open int
	done chan struct{}
}

func newSettlement(n int) *settlement { return &settlement{open: n, done: make(chan struct{})} }

func (s *settlement) settle() {
	if s.open--; s.open == 0 {
		close(s.done)
	}
}

func newAttempt(req *sqllock.Request, wait bool, s *settlement) *attempt {
	return &attempt{
		want:   Want{Name: req.Name, Mode: req.Mode, Permits: req.Permits, AtLeast: req.AtLeast, Metadata: req.Metadata},
		ttl:    req.TTL,
		holder: req.Holder,
		wait:   wait, settled: s,
	}
}

// await waits until all attempts are settled or ctx ends; then it takes back those that are not.
func (e *Engine) await(ctx context.Context, s *settlement, attempts []*attempt) {
	select {
	case <-s.done:
	case <-ctx.Done():
		e.mu.Lock()
		defer e.mu.Unlock()
		for _, a := range attempts {
			e.abandonLocked(a, context.Cause(ctx))
		}
	}
}

// abandonLocked settles an attempt whose caller leaves.
func (e *Engine) abandonLocked(a *attempt, cause error) {
	if a.state == done {
		return
	}
	a.result.Err = a.refusal(cause)
	if a.state == onWire {
		a.state = abandoned
		a.settled.settle()
		return
	}
	if a.state == sleeping {
		e.sleepers.remove(a)
	}
	e.finishLocked(a)
}

// refusal is the error of an attempt that ends without a grant: the database's, if that was the last word.
func (a *attempt) refusal(cause error) error {
	var held *sqllock.HeldError
	switch {
	case a.last == nil && !a.wait:
		return fmt.Errorf("sqllock: lock %q: the database has not answered: %w", a.want.Name, cause)
	case a.last == nil: // the attempt before this waiting was refused
		return &sqllock.HeldError{Name: a.want.Name, Cause: cause}
	case errors.As(a.last, &held):
		refused := *held
		refused.Cause = cause
		return &refused
	default:
		return a.last
	}
}

// settleLocked ends an attempt with an error, or with the Hold that is in its result.
func (e *Engine) settleLocked(a *attempt, err error) {
	if a.state != abandoned {
		a.result.Err = err
	}
	e.finishLocked(a)
}

// finishLocked takes an attempt out of everything. A waiter's row is removed by the grant, by the end of the session, or by the
// worker.
func (e *Engine) finishLocked(a *attempt) {
	if a.waiter != 0 {
		delete(e.waiters, a.waiter)
		if a.session.ended.Load() == nil && a.result.Hold == nil && !e.closed {
			e.delists = append(e.delists, a.waiter)
			e.kickLocked()
		}
		a.waiter = 0
	}
	if a.session != nil {
		a.session.waiting--
		a.session = nil
	}
	if a.state != abandoned {
		a.settled.settle()
	}
	a.state = done
}
