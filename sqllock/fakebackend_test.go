package sqllock

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"
)

// fakeBackend locks in memory. It is its own only session.
type fakeBackend struct {
	can     Capabilities
	openErr error

	mu       sync.Mutex
	opened   int
	closed   int
	calls    []string // and the names they were about
	taken    map[string]bool
	holds    map[string][]*fakeHold // by key
	tokens   int64
	waiting  chan struct{} // gets a value when somebody begins to wait
	freed    chan struct{} // closed and made anew when something changes
	tryErr   error
	freeErr  error
	deadline time.Duration // of each hold; 0: none
}

var everything = Capabilities{Shared: true, Permits: true, Leases: true, Tokens: true, Metadata: true, Fair: true}

func newFakeBackend() *fakeBackend {
	return &fakeBackend{
		can: everything, taken: make(map[string]bool), holds: make(map[string][]*fakeHold),
		waiting: make(chan struct{}, 100), freed: make(chan struct{}),
	}
}

func (b *fakeBackend) client(t *testing.T, opts ...ClientOption) *Client {
	c := New(b, opts...)
	t.Cleanup(func() { _ = c.Close(context.Background()) })
	return c
}

type fakeHold struct {
	backend *fakeBackend
	req     *Request
	token   int64
	gone    error
}

func (b *fakeBackend) Capabilities() Capabilities { return b.can }

// Key ignores case, as some databases do.
func (b *fakeBackend) Key(name string) string { return strings.ToLower(name) }

func (b *fakeBackend) Open(SessionConfig) (Session, error) {
	b.opened++
	if b.openErr != nil {
		return nil, b.openErr
	}
	return b, nil
}

func (b *fakeBackend) log() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	calls := b.calls
	b.calls = nil
	return calls
}

// take has another process hold name, or not.
func (b *fakeBackend) take(name string, taken bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.taken[b.Key(name)] = taken
	b.change()
}

func (b *fakeBackend) change() {
	close(b.freed)
	b.freed = make(chan struct{})
}

func (b *fakeBackend) Ping(context.Context) error { return nil }

func (b *fakeBackend) try(req *Request) Result {
	for _, h := range b.holds[req.Key] {
		if h.req.Mode == ModeExclusive || req.Mode != h.req.Mode || req.Mode == ModePermit && len(b.holds[req.Key]) >= req.Permits {
			return Result{Err: &HeldError{Name: req.Name, Owner: "here"}}
		}
	}
	if b.taken[req.Key] {
		return Result{Err: &HeldError{Name: req.Name, Owner: "another"}}
	}
	b.tokens++
	h := &fakeHold{backend: b, req: req, token: b.tokens}
	b.holds[req.Key] = append(b.holds[req.Key], h)
	return Result{Hold: h}
}

func (b *fakeBackend) Try(_ context.Context, reqs []*Request, results []Result) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i, req := range reqs {
		b.calls = append(b.calls, "try "+req.Name)
		if results[i].Err = b.tryErr; b.tryErr == nil {
			results[i] = b.try(req)
		}
	}
}

func (b *fakeBackend) Wait(ctx context.Context, req *Request) (Hold, error) {
	b.waiting <- struct{}{}
	for {
		b.mu.Lock()
		r, changed := b.try(req), b.freed
		b.mu.Unlock()
		if r.Err == nil {
			return r.Hold, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, &HeldError{Name: req.Name, Cause: context.Cause(ctx)}
		}
	}
}

func (b *fakeBackend) Release(_ context.Context, holds []Hold, results []error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i, hold := range holds {
		h := hold.(*fakeHold)
		b.calls = append(b.calls, "release "+h.req.Name)
		if results[i] = b.freeErr; results[i] == nil && h.gone != nil {
			results[i] = &LostError{Name: h.req.Name, Reason: h.gone}
		}
		b.drop(h)
	}
	b.change()
}

func (b *fakeBackend) drop(h *fakeHold) {
	all := b.holds[h.req.Key]
	for i := range all {
		if all[i] == h {
			b.holds[h.req.Key] = append(all[:i:i], all[i+1:]...)
			return
		}
	}
}

// lose ends a hold. told says whether its holder is told.
func (b *fakeBackend) lose(l *Lock, reason error, told bool) {
	h := l.Hold().(*fakeHold)
	b.mu.Lock()
	h.gone = reason
	b.drop(h)
	b.change()
	b.mu.Unlock()
	if told {
		h.req.Holder.Lost(reason)
	}
}

func (b *fakeBackend) held(name string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.holds[b.Key(name)])
}

func (b *fakeBackend) Locks(context.Context) ([]LockInfo, error) { return nil, nil }

func (b *fakeBackend) ForceRelease(context.Context, string) error { return ErrNotConfirmed }

func (b *fakeBackend) Close(ctx context.Context) error {
	b.mu.Lock()
	b.closed++
	var ended []*fakeHold
	for _, holds := range b.holds {
		for _, h := range holds {
			h.gone = ErrClosed
			ended = append(ended, h)
		}
	}
	clear(b.holds)
	b.mu.Unlock()
	for _, h := range ended {
		h.req.Holder.Lost(ErrClosed)
	}
	return context.Cause(ctx)
}

func (h *fakeHold) Token() int64 { return h.token }

func (h *fakeHold) Deadline() (time.Duration, bool) {
	return h.backend.deadline, h.backend.deadline != 0
}

func (h *fakeHold) Err() error {
	h.backend.mu.Lock()
	defer h.backend.mu.Unlock()
	return h.gone
}

func (h *fakeHold) Verify(context.Context) error {
	if err := h.Err(); err != nil {
		return &LostError{Name: h.req.Name, Reason: err}
	}
	return nil
}
