package lease

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/sqllock/toolkit/sqllock"
)

// Engine is the [sqllock.Session] of a lock table: it keeps the sessions of one Client alive, gathers what goroutines
// want into few transactions, and lets waiters sleep until there is something to try.
type Engine struct {
	store  Store
	owner  string
	clock  sqllock.Clock
	rand   rand.Source
	log    *slog.Logger
	ctx    context.Context // of everything on the wire; never a caller's
	cancel context.CancelFunc

	renewals sync.WaitGroup // renewals and the watch under way

	mu       sync.Mutex
	closed   bool
	current  map[time.Duration]*session // by TTL: the one that new locks go to
	sessions map[SessionID]*session     // all that have not ended
	waiters  map[int64]*attempt         // by id of the waiter's row
	sleepers sleepers

	// What the worker has to do. It runs while there is something, and at most once.
	working  bool
	stopped  chan struct{} // closed when the worker stops
	queue    []*attempt
	releases []*release
	delayed  map[*release]struct{} // will be among releases later
	delists  []int64
	wakes    []int64
	endings  []obituary
	collect  bool // a session was opened: time to look for others that have expired
	closeErr error

	watching context.CancelFunc // stops the watch; nil while there is none
	changed  chan struct{}      // closed when the sessions to watch have changed
}

// maxSessions is how many different TTLs a Client may use: each is a row and a renewal of its own.
const maxSessions = 8

// callTimeout bounds every call of the worker, so that a database that hangs fails those who wait for it.
const callTimeout = 5 * time.Second

// New makes the engine of one Client. It does no I/O.
func New(store Store, cfg sqllock.SessionConfig) *Engine {
	e := &Engine{
		store: store, owner: cfg.Owner, clock: cfg.Clock, rand: cfg.Rand, log: cfg.Logger,
		current:  make(map[time.Duration]*session),
		sessions: make(map[SessionID]*session),
		waiters:  make(map[int64]*attempt),
		delayed:  make(map[*release]struct{}),
		changed:  make(chan struct{}),
	}
	e.sleepers = sleepers{engine: e, set: make(map[*attempt]struct{})}
	e.ctx, e.cancel = context.WithCancel(context.Background())
	return e
}

var (
	_ sqllock.Session     = (*Engine)(nil)
	_ sqllock.LeaderStore = (*Engine)(nil)
	_ Events              = (*Engine)(nil)
)

// Ping implements [sqllock.Session].
func (e *Engine) Ping(ctx context.Context) error { return e.store.Check(ctx) }

// Try implements [sqllock.Session].
func (e *Engine) Try(ctx context.Context, reqs []*sqllock.Request, results []sqllock.Result) {
	s := newSettlement(len(reqs))
	attempts := make([]*attempt, len(reqs))
	for i, req := range reqs {
		attempts[i] = newAttempt(req, false, s)
	}
	e.enqueue(attempts)
	e.await(ctx, s, attempts)
	for i, a := range attempts {
		results[i] = a.result
	}
}

// Wait implements [sqllock.Session].
func (e *Engine) Wait(ctx context.Context, req *sqllock.Request) (sqllock.Hold, error) {
	s := newSettlement(1)
	a := newAttempt(req, true, s)
	attempts := []*attempt{a}
	e.enqueue(attempts)
	e.await(ctx, s, attempts)
	return a.result.Hold, a.result.Err
}

func (e *Engine) enqueue(attempts []*attempt) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, a := range attempts {
		if e.closed {
			e.settleLocked(a, sqllock.ErrClosed)
			continue
		}
		e.queue = append(e.queue, a)
	}
	e.kickLocked()
}

// Release implements [sqllock.Session].
func (e *Engine) Release(ctx context.Context, holds []sqllock.Hold, results []error) {
	s := newSettlement(len(holds) + 1)
	jobs := make([]*release, len(holds))
	e.mu.Lock()
	for i, hold := range holds {
		r := &release{hold: hold.(*Hold), settled: s}
		jobs[i] = r
		if end := r.hold.session.ended.Load(); end != nil {
			r.finish(r.hold.lost(end.reason))
		} else if r.hold.gone != nil {
			r.finish(r.hold.lost(r.hold.gone))
		} else {
			e.releases = append(e.releases, r)
		}
	}
	s.settle()
	e.kickLocked()
	e.mu.Unlock()

	select {
	case <-s.done:
	case <-ctx.Done():
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for i, r := range jobs {
		results[i] = r.err
		if !r.done {
			results[i] = lateError("the release", context.Cause(ctx))
			if r.err != nil {
				results[i] = r.err
			}
		}
	}
}

// Locks implements [sqllock.Session].
func (e *Engine) Locks(ctx context.Context) ([]sqllock.LockInfo, error) { return e.store.Locks(ctx) }

// ForceRelease implements [sqllock.Session].
func (e *Engine) ForceRelease(ctx context.Context, name string) error {
	return e.store.ForceRelease(ctx, name)
}

// PublishLeader implements [sqllock.LeaderStore].
func (e *Engine) PublishLeader(ctx context.Context, hold sqllock.Hold, value map[string]string) error {
	h := hold.(*Hold)
	ok, err := e.store.Publish(ctx, h.ref, value)
	if err != nil {
		return err
	}
	if !ok {
		return e.disown(h)
	}
	return nil
}

// Leader implements [sqllock.LeaderStore].
func (e *Engine) Leader(ctx context.Context, name string) (sqllock.Leader, error) {
	return e.store.Leader(ctx, name)
}

// Close implements [sqllock.Session].
func (e *Engine) Close(ctx context.Context) error {
	e.mu.Lock()
	e.closed = true
	for _, a := range e.queue {
		if a.state == queued {
			e.settleLocked(a, sqllock.ErrClosed)
		}
	}
	e.queue = nil
	e.sleepers.each(func(a *attempt) {
		e.sleepers.remove(a)
		e.settleLocked(a, sqllock.ErrClosed)
	})
	var lost []*Hold
	for _, s := range e.sessions {
		lost = append(lost, e.endLocked(s, sqllock.ErrClosed)...)
	}
	e.mu.Unlock()
	tell(lost, sqllock.ErrClosed)

	e.drain(ctx)
	e.cancel()
	e.drain(context.Background()) // nothing on the wire survives the cancelled context
	e.renewals.Wait()
	err := e.store.Close()
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closeErr != nil {
		err = e.closeErr
	}
	return err
}

// drain waits until the worker has nothing left to do.
func (e *Engine) drain(ctx context.Context) {
	for {
		e.mu.Lock()
		working, stopped := e.working, e.stopped
		e.mu.Unlock()
		if !working {
			return
		}
		select {
		case <-stopped:
		case <-ctx.Done():
			return
		}
	}
}

// sessionLocked is the session for a TTL that attempts may use, or nil if one has to be opened first.
func (e *Engine) sessionLocked(ttl time.Duration) *session {
	s := e.current[ttl]
	if s == nil || s.ended.Load() != nil {
		return nil
	}
	if s.dormant {
		if left := time.Duration(s.deadline.Load()) - e.clock.Now(); left < ttl/2 {
			// It holds nothing: a fresh one costs as much as a renewal.
			e.endLocked(s, sqllock.ErrExpired)
			return nil
		}
		s.armLocked()
		e.watchLocked()
	}
	return s
}

// endLocked ends a session, and returns the holds that are lost with it.
func (e *Engine) endLocked(s *session, reason error) []*Hold {
	if !s.ended.CompareAndSwap(nil, &ending{reason}) {
		return nil
	}
	if e.current[s.ttl] == s {
		delete(e.current, s.ttl)
	}
	delete(e.sessions, s.id)
	if s.expiry != nil {
		s.expiry.Stop()
		s.renewal.Stop()
	}
	lost := make([]*Hold, 0, len(s.holds))
	for _, h := range s.holds {
		lost = append(lost, h)
	}
	clear(s.holds)
	e.unlistLocked(s)
	e.endReleasesLocked(s, reason)
	// Nobody needs to wait for the expiry of a session that has given up by itself.
	e.endings = append(e.endings, obituary{id: s.id, until: e.clock.Now() + s.ttl})
	e.kickLocked()
	e.watchLocked()
	return lost
}

func (e *Engine) endSession(s *session, reason error) {
	e.mu.Lock()
	lost := e.endLocked(s, reason)
	e.mu.Unlock()
	e.mourn(s, lost, reason)
}

// mourn tells the holders of a session that has ended, and then the log, whose handler may block.
func (e *Engine) mourn(s *session, lost []*Hold, reason error) {
	tell(lost, reason)
	if len(lost) > 0 {
		e.log.Warn("sqllock: session lost", slog.Int64("session", int64(s.id)), slog.Int("locks", len(lost)), slog.Any("reason", reason))
	}
}

// disown is for a hold of which the database has said that it is gone. Its Lock ends by the error, and nobody would release the hold if it was there after
// all: the answer may be of a standby that lags, or of a clock that jumped and came back.
func (e *Engine) disown(h *Hold) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.doubtLocked(h.session)
	if h.gone == nil && h.session.holds[h.ref] == h {
		e.releases = append(e.releases, &release{hold: h})
		e.kickLocked()
	}
	return h.lost(sqllock.ErrEvicted)
}

// doubt has the worker compare what we hold with what the database knows.
func (e *Engine) doubt(s *session) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.doubtLocked(s)
}

func (e *Engine) doubtLocked(s *session) {
	if s.ended.Load() == nil {
		s.doubtful = true
		e.kickLocked()
	}
}

func (e *Engine) goneErr(h *Hold) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return h.gone
}

// jitter is between d/2 and d, so that processes that were refused together do not come back together.
func (e *Engine) jitter(d time.Duration) time.Duration {
	if d <= 0 {
		return 0
	}
	return d/2 + time.Duration(e.rand.Uint64()%uint64(d/2+1))
}

func (e *Engine) kickLocked() {
	if !e.working {
		e.working = true
		e.stopped = make(chan struct{})
		go e.work()
	}
}

// later does something under the lock after d.
func (e *Engine) later(d time.Duration, f func()) {
	e.clock.AfterFunc(d, func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		if e.ctx.Err() != nil {
			return
		}
		f()
		e.kickLocked()
	})
}
