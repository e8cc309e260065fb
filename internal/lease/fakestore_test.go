package lease

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sqllock/toolkit/sqllock"
)

// fakeStore is a table as one engine sees it, over a wire on which anything can happen.
type fakeStore struct {
	tb    testing.TB
	table *table
	poll  time.Duration
	mute  bool // nothing is pushed

	mu      sync.Mutex
	faults  map[string][]fault // of the next calls, by method
	always  map[string]fault   // of all others
	calls   []string
	batches []Batch
	lanes   int    // 0: one
	serial  string // the calls under way, of those that come one at a time, but for lanes
	serials int    // so many
	watches int
	events  Events
	closed  bool
}

var _ Store = (*fakeStore)(nil)

// meets gives the next calls of a method faults, in this order.
func (s *fakeStore) meets(method string, faults ...fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults[method] = append(s.faults[method], faults...)
}

// alwaysMeets gives all calls of a method a fault; nil ends that.
func (s *fakeStore) alwaysMeets(f fault, methods ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range methods {
		s.always[m] = f
	}
}

// count is how often a method was called.
func (s *fakeStore) count(method string) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.calls {
		if c == method {
			n++
		}
	}
	return n
}

// log are the methods called since the last time somebody asked.
func (s *fakeStore) log() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	calls := s.calls
	s.calls = nil
	return calls
}

// sent are the attempts so far.
func (s *fakeStore) sent() []Batch {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.batches)
}

func (s *fakeStore) pusher() Events {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.events
}

// call is one round trip.
func (s *fakeStore) call(ctx context.Context, method string, do func(t *table)) error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return errors.New("the store is closed")
	}
	s.calls = append(s.calls, method)
	if method != "Renew" && method != "Verify" {
		kind, _, _ := strings.Cut(method, " ")
		if s.serials > 0 && (kind != s.serial || s.serials == s.Lanes()) && kind != "Seed" {
			s.tb.Errorf("%d %s and %s at one time", s.serials, s.serial, method)
		}
		s.serial = kind
		s.serials++
		defer func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.serials--
		}()
	}
	f := fault(prompt)
	if always := s.always[method]; always != nil {
		f = always
	}
	if next := s.faults[method]; len(next) > 0 {
		s.faults[method] = next[1:]
		if next[0] != nil {
			f = next[0]
		}
	}
	s.mu.Unlock()
	return f(ctx, func() {
		s.table.mu.Lock()
		defer s.table.mu.Unlock()
		do(s.table)
	})
}

func (s *fakeStore) Check(ctx context.Context) error { return s.call(ctx, "Check", func(*table) {}) }

func (s *fakeStore) Open(ctx context.Context, id SessionID, owner string, ttl time.Duration) error {
	return s.call(ctx, "Open", func(t *table) {
		t.sessions[id] = &sessionRow{owner: owner, expires: t.clock.Now() + ttl}
		if !s.mute {
			t.watches[id] = engineOf{s}
		}
	})
}

func (s *fakeStore) Renew(ctx context.Context, id SessionID, ttl time.Duration) (int64, error) {
	var epoch int64
	gone := false
	if err := s.call(ctx, "Renew", func(t *table) {
		row := t.alive(id)
		if gone = row == nil; !gone {
			row.expires, epoch = t.clock.Now()+ttl, row.epoch
		}
	}); err != nil {
		return 0, err
	}
	if gone {
		return 0, ErrGone
	}
	return epoch, nil
}

func (s *fakeStore) Reconcile(ctx context.Context, id SessionID, expected int64, known []Ref) (int64, []Ref, error) {
	var epoch int64
	var present []Ref
	gone := false
	if err := s.call(ctx, "Reconcile", func(t *table) {
		row := t.alive(id)
		if gone = row == nil; gone {
			return
		}
		row.epoch++
		if epoch = row.epoch; epoch != expected+1 {
			return
		}
		t.remove(func(r *resource, h *holderRow) bool {
			ref := Ref{r.id, h.token}
			if h.session == id && slices.Contains(known, ref) {
				present = append(present, ref)
				return false
			}
			return h.session == id
		})
		t.removeWaiters(func(w *waiterRow) bool { return w.session == id })
	}); err != nil {
		return 0, nil, err
	}
	switch {
	case gone:
		return 0, nil, ErrGone
	case epoch != expected+1:
		return epoch, nil, ErrStale
	}
	return epoch, present, nil
}

func (s *fakeStore) End(ctx context.Context, id SessionID) error {
	return s.call(ctx, "End", func(t *table) {
		delete(t.sessions, id)
		delete(t.watches, id)
		t.remove(func(_ *resource, h *holderRow) bool { return h.session == id && !h.guarded })
		t.removeWaiters(func(w *waiterRow) bool { return w.session == id })
	})
}

func (s *fakeStore) Seed(ctx context.Context, names []string) error {
	return s.call(ctx, "Seed", func(t *table) {
		for _, name := range names {
			t.resource(name)
		}
	})
}

func (s *fakeStore) Enlist(ctx context.Context, id SessionID, epoch int64, wants []Want) ([]int64, error) {
	ids := make([]int64, len(wants))
	if err := s.call(ctx, "Enlist", func(t *table) {
		if row := t.alive(id); row == nil || row.epoch != epoch {
			return
		}
		for i, w := range wants {
			if r := t.resources[w.Name]; r != nil {
				t.nextWaiter++
				ids[i] = t.nextWaiter
				r.waiters = append(r.waiters, &waiterRow{t.nextWaiter, id, w})
			}
		}
	}); err != nil {
		return nil, err
	}
	return ids, nil
}

func (s *fakeStore) Delist(ctx context.Context, waiters []int64) error {
	return s.call(ctx, "Delist", func(t *table) {
		t.removeWaiters(func(w *waiterRow) bool { return slices.Contains(waiters, w.id) })
	})
}

func (s *fakeStore) Acquire(ctx context.Context, b Batch) ([]Outcome, error) {
	s.mu.Lock()
	s.batches = append(s.batches, b)
	s.mu.Unlock()
	outcomes := make([]Outcome, len(b.Wants))
	stale := false
	method := "Acquire"
	if b.Lane > 0 {
		method = fmt.Sprintf("Acquire in lane %d", b.Lane)
	}
	if err := s.call(ctx, method, func(t *table) {
		row := t.alive(b.Session)
		if stale = row == nil || row.epoch != b.Epoch; stale {
			return
		}
		for i, w := range b.Wants {
			outcomes[i] = t.grant(b.Session, w)
		}
	}); err != nil {
		return nil, err
	}
	if stale {
		return nil, ErrStale
	}
	return outcomes, nil
}

func (s *fakeStore) Lanes() int { return max(s.lanes, 1) }

func (s *fakeStore) Release(ctx context.Context, _ int, refs []Ref) ([]Freed, error) {
	freed := make([]Freed, len(refs))
	if err := s.call(ctx, "Release", func(t *table) {
		t.remove(func(r *resource, h *holderRow) bool {
			i := slices.Index(refs, Ref{r.id, h.token})
			if i < 0 {
				return false
			}
			freed[i] = Released
			if h.guarded {
				freed[i] = Guarded
			}
			return !h.guarded
		})
	}); err != nil {
		return nil, err
	}
	return freed, nil
}

func (s *fakeStore) Wake(ctx context.Context, resources []int64) error {
	return s.call(ctx, "Wake", func(t *table) {
		for _, r := range t.resources {
			if slices.Contains(resources, r.id) {
				t.push(r)
			}
		}
	})
}

func (s *fakeStore) Collect(ctx context.Context) error {
	return s.call(ctx, "Collect", func(*table) {})
}

func (s *fakeStore) Watch(ctx context.Context, events Events) {
	s.mu.Lock()
	s.watches++
	s.events = events
	s.mu.Unlock()
	events.Watching()
	<-ctx.Done()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.watches--
}

// watching is how many watches are under way.
func (s *fakeStore) watching() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.watches
}

// engineOf pushes to whom the store is watched by now.
type engineOf struct{ store *fakeStore }

func (e engineOf) Watching()                                {}
func (e engineOf) Changed()                                 {}
func (e engineOf) Interrupted()                             {}
func (e engineOf) Sessions() ([]SessionID, <-chan struct{}) { return nil, nil }

func (e engineOf) Woken(waiter int64) {
	if events := e.store.pusher(); events != nil && e.store.watching() > 0 {
		events.Woken(waiter)
	}
}

func (e engineOf) Observed(id SessionID, epoch int64) {
	if events := e.store.pusher(); events != nil && e.store.watching() > 0 {
		events.Observed(id, epoch)
	}
}

func (s *fakeStore) Poll() time.Duration { return s.poll }

func (s *fakeStore) Verify(ctx context.Context, id SessionID, ref Ref) (held bool, err error) {
	err = s.call(ctx, "Verify", func(t *table) {
		for _, r := range t.resources {
			for _, h := range r.holders {
				held = held || h.session == id && Ref{r.id, h.token} == ref && t.alive(id) != nil
			}
		}
	})
	return held, err
}

func (s *fakeStore) ForceRelease(_ context.Context, name string) error {
	s.table.force(name, true)
	return nil
}

func (s *fakeStore) Publish(ctx context.Context, ref Ref, _ map[string]string) (bool, error) {
	return s.Verify(ctx, 0, ref)
}

func (s *fakeStore) Locks(context.Context) ([]sqllock.LockInfo, error) { return nil, nil }

func (s *fakeStore) Leader(context.Context, string) (sqllock.Leader, error) {
	return sqllock.Leader{}, sqllock.ErrNoLeader
}

func (s *fakeStore) Permanent(err error) bool { return errors.Is(err, errPermanent) }

func (s *fakeStore) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	return nil
}
