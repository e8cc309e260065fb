package lease

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/sqllock/toolkit/sqllock"
)

// errGuarded is what a release that cannot be confirmed reports when a guarded transaction is why.
var errGuarded = errors.New("a transaction that guards the lock is still open; the release follows when it ends")

// obituary is a session whose rows are to be deleted.
type obituary struct {
	id      SessionID
	until   time.Duration // then it has expired, and whoever meets it deletes it
	retried bool
}

// maxBatch bounds one transaction, so that its row locks are short.
const maxBatch = 256

// work does what there is to do, in transactions as large as the queue has become meanwhile, and stops when there is nothing left.
// It is the only one that changes rows, but for renewals, and its lanes have ended before it goes on: so it never reconciles while
// something is on its way.
func (e *Engine) work() {
	for {
		e.mu.Lock()
		if !e.pendingLocked() {
			e.working = false
			close(e.stopped)
			e.mu.Unlock()
			return
		}
		endings, delists, wakes := e.endings, e.delists, e.wakes
		e.endings, e.delists, e.wakes = nil, nil, nil
		releases := e.takeReleasesLocked()
		collect := e.collect
		e.collect = false
		var doubtful []*session
		for _, s := range e.sessions {
			if s.doubtful {
				doubtful = append(doubtful, s)
			}
		}
		e.mu.Unlock()

		for _, o := range endings {
			e.runEnding(o)
		}
		for _, s := range doubtful {
			e.reconcile(s)
		}
		inLanes(e.store.Lanes(), releases, e.runReleases)
		e.gather(len(releases))
		if len(delists) > 0 {
			e.attend("delist", func(ctx context.Context) error { return e.store.Delist(ctx, delists) },
				func() { e.delists = append(e.delists, delists...) })
		}
		if len(wakes) > 0 {
			e.attend("wake", func(ctx context.Context) error { return e.store.Wake(ctx, wakes) }, nil)
		}
		e.runAttempts()
		if collect {
			e.attend("collecting expired sessions", e.store.Collect, nil)
		}
	}
}

func (e *Engine) pendingLocked() bool {
	if e.collect || len(e.endings)+len(e.delists)+len(e.wakes)+len(e.releases)+len(e.queue) > 0 {
		return true
	}
	for _, s := range e.sessions {
		if s.doubtful {
			return true
		}
	}
	return false
}

func (e *Engine) takeReleasesLocked() []*release {
	n := min(len(e.releases), maxBatch)
	batch := e.releases[:n:n]
	if e.releases = e.releases[n:]; len(e.releases) == 0 {
		e.releases = nil
	}
	return batch
}

func (e *Engine) call() (context.Context, context.CancelFunc) {
	return context.WithTimeout(e.ctx, callTimeout)
}

// attend does a small job, and again later if it fails and somebody would miss it.
func (e *Engine) attend(what string, do func(context.Context) error, again func()) {
	ctx, cancel := e.call()
	defer cancel()
	if err := do(ctx); err != nil && e.ctx.Err() == nil {
		e.log.Warn("sqllock: "+what+" failed", slog.Any("error", err))
		if again != nil {
			e.later(e.jitter(time.Second), again)
		}
	}
}

func (e *Engine) runEnding(o obituary) {
	ctx, cancel := e.call()
	err := e.store.End(ctx, o.id)
	cancel()
	if err == nil {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case !o.retried: // a connection that broke while idle is found out by the first use
		o.retried = true
		e.endings = append(e.endings, o)
	case e.closed:
		e.closeErr = fmt.Errorf("a session could not be ended; it expires by itself: %w", err)
	case e.clock.Now() < o.until:
		e.later(e.jitter(time.Second), func() { e.endings = append(e.endings, o) })
	}
}

// reconcile compares what we believe to hold with what the database knows, after an answer that was lost or when the epoch says that
// somebody has intervened. While it has not succeeded nothing is attempted for the session.
func (e *Engine) reconcile(s *session) {
	e.mu.Lock()
	s.doubtful, s.reconciling = false, true
	known := make([]Ref, 0, len(s.holds))
	for ref := range s.holds {
		known = append(known, ref)
	}
	epoch := max(s.epoch, s.observed)
	e.mu.Unlock()

	ctx, cancel := e.call()
	epoch, present, err := e.store.Reconcile(ctx, s.id, epoch, known)
	if errors.Is(err, ErrStale) { // somebody has intervened, or the answer to an earlier one was lost
		epoch, present, err = e.store.Reconcile(ctx, s.id, epoch, known)
	}
	cancel()
	if errors.Is(err, ErrGone) {
		e.endSession(s, sqllock.ErrEvicted)
		return
	}
	if err != nil {
		e.mu.Lock()
		s.reconciling, s.unreachable = false, err
		e.mu.Unlock()
		e.later(min(e.jitter(s.ttl/12), time.Second), func() { e.doubtLocked(s) })
		return
	}

	still := make(map[Ref]bool, len(present))
	for _, ref := range present {
		still[ref] = true
	}
	var lost []*Hold
	e.mu.Lock()
	s.epoch, s.reconciling, s.unreachable = epoch, false, nil
	if s.observed > epoch {
		e.doubtLocked(s)
	}
	for _, ref := range known {
		if h := s.holds[ref]; h != nil && !still[ref] {
			h.gone = sqllock.ErrForced
			e.forgetLocked(h)
			lost = append(lost, h)
		}
	}
	e.unlistLocked(s)
	e.mu.Unlock()
	tell(lost, sqllock.ErrForced)
}

// unlistLocked has those who wait by a session enlist again, since their rows are gone: nothing would be pushed to them any more. Those whose
// last attempt failed sleep on first, else a database that fails attempts and nothing else would be asked without a pause.
func (e *Engine) unlistLocked(s *session) {
	for id, a := range e.waiters {
		if a.session == s {
			delete(e.waiters, id)
			a.waiter = 0
			if a.failures == 0 {
				e.wakeLocked(a)
			}
		}
	}
}

// runAttempts sends what is queued, one transaction for each session.
func (e *Engine) runAttempts() {
	e.mu.Lock()
	batches := e.takeAttemptsLocked()
	e.mu.Unlock()
	answered := 0
	for _, b := range batches {
		e.runBatch(b)
		answered += len(b)
	}
	e.gather(answered)
}

// takeAttemptsLocked groups what is queued by session. A name occurs once in a batch; a patient attempt is a batch of its own, since it
// may wait.
func (e *Engine) takeAttemptsLocked() [][]*attempt {
	type place struct {
		ttl  time.Duration
		name string
	}
	taken := make(map[place]bool, min(len(e.queue), maxBatch))
	groups := make(map[time.Duration][]*attempt, 1)
	var batches [][]*attempt
	rest := e.queue[:0]
	for _, a := range e.queue {
		p := place{a.ttl, a.want.Name}
		switch {
		case a.state != queued: // its caller has left
		case taken[p] || len(groups[a.ttl]) == maxBatch:
			rest = append(rest, a)
		default:
			taken[p] = true
			a.state, a.woken = onWire, false
			if a.patient() {
				batches = append(batches, []*attempt{a})
			} else {
				groups[a.ttl] = append(groups[a.ttl], a)
			}
		}
	}
	clear(e.queue[len(rest):])
	e.queue = rest
	for _, g := range groups {
		batches = append(batches, g)
	}
	return batches
}

func (e *Engine) runBatch(batch []*attempt) {
	s, err := e.ensureSession(batch)
	if err != nil {
		e.fail(batch, err)
		return
	}
	if err := e.enlist(s, batch); err != nil {
		e.fail(batch, err)
		return
	}
	inLanes(e.store.Lanes(), batch, func(lane int, part []*attempt) { e.attempt(s, lane, part) })
}

// attempt sends a part of a batch whose waiters have their places in line.
func (e *Engine) attempt(s *session, lane int, batch []*attempt) {
	e.mu.Lock()
	b := Batch{Session: s.id, Epoch: s.epoch, Wants: make([]Want, len(batch)), Lane: lane, Patient: batch[0].patient()}
	for i, a := range batch {
		b.Wants[i] = a.want
		b.Wants[i].Waiter = a.waiter
	}
	e.mu.Unlock()

	ctx, cancel := e.call()
	outcomes, err := e.store.Acquire(ctx, b)
	cancel()
	if err != nil {
		e.doubt(s)
		e.fail(batch, err)
		return
	}
	var seedErr error
	if missing := unseeded(b.Wants, outcomes); len(missing) > 0 {
		ctx, cancel := e.call()
		seedErr = e.store.Seed(ctx, missing)
		cancel()
	}
	var failed []*attempt
	e.mu.Lock()
	for i, a := range batch {
		if outcomes[i].Verdict == Unseeded && seedErr != nil {
			failed = append(failed, a)
			continue
		}
		e.answerLocked(s, a, outcomes[i])
	}
	e.mu.Unlock()
	e.fail(failed, seedErr)
}

func unseeded(wants []Want, outcomes []Outcome) []string {
	var names []string
	for i, o := range outcomes {
		if o.Verdict == Unseeded {
			names = append(names, wants[i].Name)
		}
	}
	return names
}

// ensureSession returns the open session that all of a batch use.
func (e *Engine) ensureSession(batch []*attempt) (*session, error) {
	ttl := batch[0].ttl
	e.mu.Lock()
	s := e.sessionLocked(ttl)
	if s == nil {
		if len(e.current) >= maxSessions {
			e.mu.Unlock()
			return nil, fmt.Errorf("%w: more than %d different TTLs in one Client", sqllock.ErrInvalid, maxSessions)
		}
		e.mu.Unlock()
		opened, err := e.openSession(ttl)
		if err != nil {
			return nil, err
		}
		e.mu.Lock()
		e.adoptLocked(opened)
		s = opened
	}
	defer e.mu.Unlock()
	if s.unreachable != nil {
		return nil, s.unreachable
	}
	for _, a := range batch {
		if a.session == s {
			continue
		}
		if a.session != nil { // it ended, and its waiters with it
			a.session.waiting--
			delete(e.waiters, a.waiter)
			a.waiter = 0
		}
		a.session = s
		s.waiting++
	}
	return s, nil
}

func (e *Engine) openSession(ttl time.Duration) (*session, error) {
	s := &session{engine: e, id: SessionID(e.rand.Uint64() >> 1), ttl: ttl, holds: make(map[Ref]*Hold)}
	sent := e.clock.Now()
	ctx, cancel := e.call()
	defer cancel()
	if err := e.store.Open(ctx, s.id, e.owner, ttl); err != nil {
		return nil, err
	}
	s.deadline.Store(int64(sent + ttl - margin(ttl)))
	return s, nil
}

// adoptLocked takes in a session that has been opened. Whoever needs it says so before the lock is given up: if opening took long,
// its first renewal is due at once, and lets a session sleep that nobody needs.
func (e *Engine) adoptLocked(s *session) {
	e.current[s.ttl] = s
	e.sessions[s.id] = s
	s.armLocked()
	e.watchLocked()
	e.collect = true
	if e.closed { // meanwhile, and nobody else will end it
		e.endLocked(s, sqllock.ErrClosed)
	}
}

// enlist gives a place in the database's line to those who wait and have none. It is committed before they try, so that a release
// either is seen by the attempt or sees the waiter.
func (e *Engine) enlist(s *session, batch []*attempt) error {
	e.mu.Lock()
	var fresh []*attempt
	var wants []Want
	for _, a := range batch {
		if a.wait && a.waiter == 0 && a.state == onWire {
			fresh, wants = append(fresh, a), append(wants, a.want)
		}
	}
	epoch := s.epoch
	e.mu.Unlock()
	if len(fresh) == 0 {
		return nil
	}
	ctx, cancel := e.call()
	ids, err := e.store.Enlist(ctx, s.id, epoch, wants)
	cancel()
	if err != nil {
		e.doubt(s) // rows that we do not know would stand in everybody's way
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for i, a := range fresh {
		if a.waiter = ids[i]; a.waiter != 0 {
			e.waiters[a.waiter] = a
		}
	}
	return nil
}

// answerLocked acts on the database's answer to one attempt.
func (e *Engine) answerLocked(s *session, a *attempt, o Outcome) {
	a.failures = 0
	switch o.Verdict {
	case Granted:
		e.grantLocked(s, a, o)
		return
	case Unseeded:
		a.last = nil
		if a.waiter != 0 { // the name was purged just before it enlisted: it stands in the line of nothing
			e.delists = append(e.delists, a.waiter)
			delete(e.waiters, a.waiter)
			a.waiter = 0
		}
	case Busy:
		a.last = &sqllock.HeldError{Name: a.want.Name, Detail: "a transaction"}
	case Held:
		a.last = &sqllock.HeldError{Name: a.want.Name, Owner: o.Owner, Expires: o.Expires}
	}
	switch {
	case a.state == abandoned:
		e.finishLocked(a)
	case e.closed:
		e.settleLocked(a, sqllock.ErrClosed)
	case o.Verdict == Unseeded:
		e.requeueLocked(a)
	case o.Verdict == Busy && (a.wait || !a.patient()):
		a.busy++
		e.sleepers.add(a, e.jitter(min(2*time.Millisecond<<min(a.busy-1, 6), e.store.Poll())))
	case !a.wait:
		e.settleLocked(a, a.refusal(nil))
	case a.woken || a.waiter == 0 || s.ended.Load() != nil: // nothing would be pushed to one that is not in line
		a.busy = 0
		e.requeueLocked(a)
	default:
		a.busy = 0
		nap := e.jitter(e.store.Poll())
		if o.Retry > 0 {
			nap = min(nap, o.Retry+e.jitter(4*time.Millisecond))
		}
		e.sleepers.add(a, nap)
	}
}

// patientAfter is how often a single attempt meets a locked resource before it waits for the lock instead: other attempts hold theirs
// for a millisecond, a guarded transaction as long as it likes.
const patientAfter = 4

func (a *attempt) patient() bool { return !a.wait && a.busy >= patientAfter }

func (e *Engine) grantLocked(s *session, a *attempt, o Outcome) {
	if s.ended.Load() != nil { // the grant has ended with it
		if a.state == abandoned || e.closed {
			e.settleLocked(a, sqllock.ErrClosed)
			return
		}
		e.requeueLocked(a)
		return
	}
	h := &Hold{session: s, ref: o.Ref, name: a.want.Name, mode: a.want.Mode, holder: a.holder}
	s.holds[o.Ref] = h
	if a.waiter != 0 { // the grant has removed the waiter's row
		delete(e.waiters, a.waiter)
		a.waiter = 0
		if a.want.Mode != sqllock.ModeExclusive {
			e.wakes = append(e.wakes, o.Ref.Resource)
		}
	}
	if a.state == abandoned || e.closed {
		e.releases = append(e.releases, &release{hold: h})
		e.settleLocked(a, sqllock.ErrClosed)
		return
	}
	a.result.Hold = h
	e.settleLocked(a, nil)
}

// fail acts on an error of the database. The first one may be a connection that broke while it was idle, so it is tried once more at once.
func (e *Engine) fail(batch []*attempt, err error) {
	permanent := e.store.Permanent(err) || errors.Is(err, sqllock.ErrInvalid)
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, a := range batch {
		a.failures++
		a.last = err
		switch {
		case a.state == abandoned:
			e.finishLocked(a)
		case e.closed:
			e.settleLocked(a, sqllock.ErrClosed)
		case permanent:
			e.settleLocked(a, err)
		case a.failures == 1:
			e.requeueLocked(a)
		case !a.wait:
			e.settleLocked(a, err)
		default:
			e.sleepers.add(a, e.jitter(min(50*time.Millisecond<<min(a.failures-2, 5), time.Second)))
		}
	}
}

func (e *Engine) requeueLocked(a *attempt) {
	a.state = queued
	e.queue = append(e.queue, a)
	e.kickLocked()
}
