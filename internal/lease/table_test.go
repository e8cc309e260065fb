package lease

import (
	"slices"
	"sync"
	"time"

	"github.com/sqllock/toolkit/sqllock"
)

// table is a lock table in memory, with the semantics that Store asks for and no SQL. Several stores may share one.
type table struct {
	clock *bubbleClock

	mu         sync.Mutex
	sessions   map[SessionID]*sessionRow
	resources  map[string]*resource
	nextToken  int64
	nextWaiter int64
	watches    map[SessionID]Events
}

type sessionRow struct {
	owner   string
	epoch   int64
	expires time.Duration
}

type resource struct {
	id      int64
	name    string
	busy    bool // locked by somebody's transaction
	holders []*holderRow
	waiters []*waiterRow // in the order of their ids
}

type holderRow struct {
	token   int64
	session SessionID
	want    Want
	guarded bool
}

type waiterRow struct {
	id      int64
	session SessionID
	want    Want
}

func newTable(clock *bubbleClock) *table {
	return &table{
		clock:    clock,
		sessions: make(map[SessionID]*sessionRow), resources: make(map[string]*resource), watches: make(map[SessionID]Events),
	}
}

// alive is the row of a session, or nil if it is gone or has expired.
func (t *table) alive(id SessionID) *sessionRow {
	if s := t.sessions[id]; s != nil && t.clock.Now() < s.expires {
		return s
	}
	return nil
}

func (t *table) resource(name string) *resource {
	r := t.resources[name]
	if r == nil {
		r = &resource{id: int64(len(t.resources) + 1), name: name}
		t.resources[name] = r
	}
	return r
}

// grant answers one Want.
func (t *table) grant(id SessionID, w Want) Outcome {
	r := t.resources[w.Name]
	switch {
	case r == nil:
		return Outcome{Verdict: Unseeded}
	case r.busy:
		return Outcome{Verdict: Busy}
	}
	r.holders = slices.DeleteFunc(r.holders, func(h *holderRow) bool { return t.alive(h.session) == nil && !h.guarded })
	r.waiters = slices.DeleteFunc(r.waiters, func(o *waiterRow) bool { return t.alive(o.session) == nil })
	for _, h := range r.holders {
		if excludes(h.want, w, len(r.holders)) {
			s := t.sessions[h.session]
			left := s.expires - t.clock.Now()
			return Outcome{Verdict: Held, Owner: s.owner, Expires: time.Now().Add(left), Retry: left}
		}
	}
	for _, o := range r.waiters {
		if o.id == w.Waiter {
			break
		}
		if excludes(o.want, w, len(r.holders)+1) {
			return Outcome{Verdict: Held}
		}
	}
	r.waiters = slices.DeleteFunc(r.waiters, func(o *waiterRow) bool { return o.id == w.Waiter })
	t.nextToken++
	r.holders = append(r.holders, &holderRow{token: t.nextToken, session: id, want: w})
	return Outcome{Verdict: Granted, Ref: Ref{r.id, t.nextToken}}
}

// excludes tells whether one who holds, among so many, keeps another out.
func excludes(holder, w Want, holders int) bool {
	if holder.Mode == sqllock.ModePermit && w.Mode == sqllock.ModePermit {
		return holders >= min(holder.Permits, w.Permits)
	}
	return holder.Mode == sqllock.ModeExclusive || holder.Mode != w.Mode
}

// remove deletes the holders for which gone says so, and pushes to those who wait for them.
func (t *table) remove(gone func(*resource, *holderRow) bool) {
	for _, r := range t.resources {
		n := len(r.holders)
		r.holders = slices.DeleteFunc(r.holders, func(h *holderRow) bool { return gone(r, h) })
		if len(r.holders) < n {
			t.push(r)
		}
	}
}

// removeWaiters deletes waiters, and pushes to those behind them.
func (t *table) removeWaiters(gone func(*waiterRow) bool) {
	for _, r := range t.resources {
		n := len(r.waiters)
		r.waiters = slices.DeleteFunc(r.waiters, gone)
		if len(r.waiters) < n {
			t.push(r)
		}
	}
}

// push wakes the first in line.
func (t *table) push(r *resource) {
	if len(r.waiters) > 0 {
		if events := t.watches[r.waiters[0].session]; events != nil {
			events.Woken(r.waiters[0].id)
		}
	}
}

// force takes name from its holders and raises their epochs, which is pushed if somebody listens.
func (t *table) force(name string, pushed bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := t.resource(name)
	for _, h := range r.holders {
		s := t.sessions[h.session]
		s.epoch++
		if events := t.watches[h.session]; events != nil && pushed {
			events.Observed(h.session, s.epoch)
		}
	}
	r.holders = nil
	t.push(r)
}

// What tests look at, and change behind everybody's back.

func (t *table) holders(name string) (tokens []int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, h := range t.resource(name).holders {
		tokens = append(tokens, h.token)
	}
	return tokens
}

func (t *table) waiters(name string) (ids []int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, w := range t.resource(name).waiters {
		ids = append(ids, w.id)
	}
	return ids
}

// living are the sessions whose rows exist.
func (t *table) living() (ids []SessionID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for id := range t.sessions {
		ids = append(ids, id)
	}
	return ids
}

func (t *table) setBusy(name string, busy bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.resource(name).busy = busy
}

func (t *table) setGuarded(name string, guarded bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, h := range t.resource(name).holders {
		h.guarded = guarded
	}
}

// evict deletes all sessions, as an administrator might.
func (t *table) evict() {
	t.mu.Lock()
	defer t.mu.Unlock()
	clear(t.sessions)
	for _, r := range t.resources {
		r.holders, r.waiters = nil, nil
	}
}

// expire has others find one session expired, and collect it.
func (t *table) expire(id SessionID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.sessions, id)
	for _, r := range t.resources {
		r.holders = slices.DeleteFunc(r.holders, func(h *holderRow) bool { return h.session == id })
		r.waiters = slices.DeleteFunc(r.waiters, func(w *waiterRow) bool { return w.session == id })
	}
}

// forgetWaiters undoes what need not be durable.
func (t *table) forgetWaiters(name string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.resource(name).waiters = nil
}
