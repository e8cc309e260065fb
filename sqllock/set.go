package sqllock

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"
)

// Set is several locks that were acquired together and count as one: when one of them ends, the Set has ended. Its methods are
// safe for concurrent use.
type Set struct {
	locks []*Lock // in the order of their keys

	once sync.Once
	done chan struct{}
}

// AcquireAll acquires all of names, or none. Names that the backend cannot tell apart count once. Sets that overlap do not deadlock with each other,
// because every process takes names in the order of their keys; the names that can be had are taken in one statement.
// The errors are those of [Client.Acquire]. A [HeldError] names the one that could not be had.
func (c *Client) AcquireAll(ctx context.Context, names []string, opts ...Option) (*Set, error) {
	if len(names) == 0 {
		return nil, invalid("AcquireAll needs at least one name")
	}
	locks := make([]*Lock, 0, len(names))
	var o options
	for _, name := range names {
		l, lo, err := c.prepare(name, opts)
		if err != nil {
			return nil, err
		}
		locks, o = append(locks, l), lo
	}
	byKey := func(a, b *Lock) int { return strings.Compare(a.req.Key, b.req.Key) }
	slices.SortStableFunc(locks, byKey)
	locks = slices.CompactFunc(locks, func(a, b *Lock) bool { return a.req.Key == b.req.Key })
	a := &assembly{client: c, locks: locks, try: o.hasWait && o.wait == 0}
	if !a.try {
		var cancel context.CancelFunc
		ctx, cancel = waiting(ctx, o)
		defer cancel()
	}
	return a.run(ctx)
}

// Locks are the members, in the order in which they were acquired.
func (s *Set) Locks() []*Lock { return slices.Clone(s.locks) }

// Names are the names of the members.
func (s *Set) Names() []string {
	names := make([]string, len(s.locks))
	for i, l := range s.locks {
		names[i] = l.Name()
	}
	return names
}

// Done is closed when any member is no longer held.
func (s *Set) Done() <-chan struct{} {
	s.once.Do(func() {
		s.done = make(chan struct{})
		end := sync.OnceFunc(func() { close(s.done) })
		for _, l := range s.locks {
			l.onEnd(func(error) { end() })
		}
	})
	return s.done
}

// Err is nil while all members are held; then the [Lock.Err] of one that is not.
func (s *Set) Err() error {
	for _, l := range s.locks {
		if err := l.Err(); err != nil {
			return err
		}
	}
	return nil
}

// Context derives a context that is cancelled when any member ends, with that member's error as its cause.
func (s *Set) Context(parent context.Context) (ctx context.Context, cancel context.CancelFunc) {
	ctx, cause := context.WithCancelCause(parent)
	removes := make([]func(), len(s.locks))
	for i, l := range s.locks {
		removes[i] = l.onEnd(func(err error) { cause(err) })
	}
	return ctx, func() {
		for _, remove := range removes {
			remove()
		}
		cause(nil)
	}
}

// Deadline is the earliest of the members' deadlines; the zero time says that there is none.
func (s *Set) Deadline() time.Time {
	var first time.Time
	for _, l := range s.locks {
		if d := l.Deadline(); !d.IsZero() && (first.IsZero() || d.Before(first)) {
			first = d
		}
	}
	return first
}

// Release gives up all members, in one statement where the backend can. Its rules are those of [Lock.Release].
func (s *Set) Release(ctx context.Context) error {
	var errs []error
	var held []*Lock
	for _, l := range s.locks {
		if l.begin() {
			held = append(held, l)
		} else if err := l.Err(); errors.Is(err, ErrLost) {
			errs = append(errs, err)
		}
	}
	return errors.Join(append(errs, releaseTogether(ctx, held))...)
}

// releaseTogether releases locks that have begun to end.
func releaseTogether(ctx context.Context, locks []*Lock) error {
	if len(locks) == 0 {
		return nil
	}
	c := locks[0].client
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseTimeout)
	defer cancel()
	holds := make([]Hold, len(locks))
	traced := make([]context.Context, len(locks))
	for i, l := range locks {
		holds[i] = l.hold[0]
		traced[i] = c.cfg.tracer.TraceReleaseStart(ctx, ReleaseStart{Name: l.req.Name, Token: l.Token(), Held: l.heldFor()})
	}
	answers := make([]error, len(locks))
	c.session.Release(ctx, holds, answers)
	for i, l := range locks {
		answers[i] = l.released(answers[i])
		c.cfg.tracer.TraceReleaseEnd(traced[i], ReleaseEnd{Name: l.req.Name, Err: answers[i]})
	}
	return errors.Join(answers...)
}

// assembly is a Set in the making. It holds the first names of the order and waits for the next one only, so that whoever waits for
// whom, all wait upwards.
type assembly struct {
	client *Client
	locks  []*Lock
	try    bool
	held   int // so many of locks, from the first, are granted
	inLine int // so many of locks, from the first, have had their turn in the queue
}

func (a *assembly) run(ctx context.Context) (*Set, error) {
	traced := make([]context.Context, len(a.locks))
	t := a.client.cfg.tracer
	for i, l := range a.locks {
		traced[i] = t.TraceAcquireStart(ctx, AcquireStart{Name: l.req.Name, Mode: l.req.Mode, Try: a.try})
	}
	err := a.gather(ctx)
	if err != nil {
		err = errors.Join(err, a.giveBack(ctx))
	}
	for i, l := range a.locks {
		t.TraceAcquireEnd(traced[i], AcquireEnd{Name: l.req.Name, Token: l.Token(), Err: err})
	}
	if err != nil {
		return nil, err
	}
	return &Set{locks: a.locks}, nil
}

func (a *assembly) gather(ctx context.Context) error {
	if err := wanted(ctx, a.locks[0]); err != nil {
		return err
	}
	for _, l := range a.locks {
		if err := a.enter(ctx, l); err != nil {
			return err
		}
		a.inLine++
	}
	for a.held < len(a.locks) {
		err := a.attempt(ctx)
		if err == nil {
			continue
		}
		held, ok := errors.AsType[*HeldError](err)
		if a.try || !ok {
			return err
		}
		if cause := context.Cause(ctx); cause != nil {
			return held.endedBy(cause)
		}
		l := a.locks[a.held]
		hold, err := a.client.session.Wait(ctx, &l.req)
		if err != nil {
			return err
		}
		if err := a.take(l, hold); err != nil {
			return err
		}
	}
	for _, l := range a.locks {
		if err := l.Err(); err != nil {
			return err
		}
	}
	return nil
}

func (a *assembly) enter(ctx context.Context, l *Lock) error {
	if !a.try {
		err := a.client.queue.enter(ctx, &l.ticket)
		if err == nil || errors.Is(err, ErrClosed) {
			return err
		}
		return a.client.heldHere(l, err)
	}
	ok, err := a.client.queue.tryEnter(&l.ticket)
	if err == nil && !ok {
		err = a.client.heldHere(l, nil)
	}
	return err
}

// attempt tries all that is missing at once and keeps what is granted before the first refusal; what lies behind it is given back.
func (a *assembly) attempt(ctx context.Context) error {
	missing := a.locks[a.held:]
	claims := make([]claim, len(missing))
	reqs := make([]*Request, len(missing))
	for i, l := range missing {
		claims[i].req = l.req
		claims[i].req.Holder = &claims[i]
		reqs[i] = &claims[i].req
	}
	results := make([]Result, len(missing))
	a.client.session.Try(ctx, reqs, results)

	var refusal error
	var beyond []Hold
	for i, r := range results {
		switch {
		case r.Err != nil && refusal == nil:
			refusal = r.Err
		case r.Err != nil:
		case refusal != nil:
			beyond = append(beyond, r.Hold)
		default:
			claims[i].keep((*holder)(missing[i]))
			if err := a.take(missing[i], r.Hold); err != nil {
				refusal = err
			}
		}
	}
	if len(beyond) > 0 {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseTimeout)
		defer cancel()
		a.client.session.Release(ctx, beyond, make([]error, len(beyond)))
	}
	return refusal
}

// claim is one attempt at one name. Only who keeps the grant is told of its loss: what was given back can be lost later, when the
// name may have been granted to the same Lock again.
type claim struct {
	req    Request
	mu     sync.Mutex
	holder Holder // of those who keep it
	lost   error  // before somebody did
}

func (c *claim) keep(h Holder) {
	c.mu.Lock()
	c.holder = h
	lost := c.lost
	c.mu.Unlock()
	if lost != nil {
		h.Lost(lost)
	}
}

// Lost implements [Holder].
func (c *claim) Lost(reason error) {
	c.mu.Lock()
	h := c.holder
	c.lost = reason
	c.mu.Unlock()
	if h != nil {
		h.Lost(reason)
	}
}

func (a *assembly) take(l *Lock, h Hold) error {
	a.client.queue.granted(&l.ticket)
	a.held++
	return l.start(h)
}

// giveBack undoes what there is of a Set that did not come to be.
func (a *assembly) giveBack(ctx context.Context) error {
	for _, l := range a.locks[a.held:a.inLine] {
		a.client.queue.leave(&l.ticket)
	}
	var held []*Lock
	for _, l := range a.locks[:a.held] {
		if l.begin() {
			held = append(held, l)
		}
	}
	if err := releaseTogether(ctx, held); !errors.Is(err, ErrLost) {
		return err
	}
	return nil
}
