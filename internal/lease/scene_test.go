package lease

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sqllock/toolkit/sqllock"
)

const (
	ttl  = 30 * time.Second
	poll = time.Minute // so rarely that who is not woken is missed

	// trust is how long after a request was sent its answer is believed.
	trust = ttl - ttl/10
)

// scene is one lock table and those who use it, in a bubble of time.
type scene struct {
	*testing.T
	*bubbleClock
	table   *table
	parties []*party
}

// play runs a test in a bubble. All parties are closed at its end.
func play(t *testing.T, test func(s *scene)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		clock := newBubbleClock()
		s := &scene{T: t, bubbleClock: clock, table: newTable(clock)}
		defer func() {
			for _, p := range s.parties {
				p.store.alwaysMeets(nil, p.store.methods()...)
				_ = p.client.Close(t.Context())
			}
		}()
		test(s)
	})
}

func (s *fakeStore) methods() (names []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for m := range s.always {
		names = append(names, m)
	}
	return names
}

// party is one process: a Client, its engine, and its own wire to the table.
type party struct {
	scene  *scene
	store  *fakeStore
	engine *Engine
	client *sqllock.Client
}

func (s *scene) party(name string) *party {
	p := &party{scene: s, store: &fakeStore{
		tb: s.T, table: s.table, poll: poll,
		faults: make(map[string][]fault), always: make(map[string]fault),
	}}
	p.client = sqllock.New(p, sqllock.WithClock(s.bubbleClock), sqllock.Owner(name), sqllock.TTL(ttl))
	s.parties = append(s.parties, p)
	return p
}

// Capabilities implements [sqllock.Backend].
func (p *party) Capabilities() sqllock.Capabilities {
	return sqllock.Capabilities{Shared: true, Permits: true, Leases: true, Tokens: true, Metadata: true, Fair: true}
}

// Key implements [sqllock.Backend].
func (p *party) Key(name string) string { return name }

// Open implements [sqllock.Backend].
func (p *party) Open(cfg sqllock.SessionConfig) (sqllock.Session, error) {
	p.engine = New(p.store, cfg)
	return p.engine, nil
}

func (p *party) acquire(name string, opts ...sqllock.Option) *sqllock.Lock {
	p.scene.Helper()
	l, err := p.client.Acquire(p.scene.Context(), name, opts...)
	require.NoError(p.scene, err)
	synctest.Wait() // the watch that it may have begun is under way
	return l
}

// try is a single attempt, made in another goroutine.
func (p *party) try(name string, opts ...sqllock.Option) *acquisition {
	return p.begin(p.scene.Context(), name, append(opts, sqllock.Wait(0))...)
}

// begin acquires in another goroutine, and returns when nothing moves any more.
func (p *party) begin(ctx context.Context, name string, opts ...sqllock.Option) *acquisition {
	a := &acquisition{scene: p.scene, done: make(chan struct{})}
	go func() {
		defer close(a.done)
		a.lock, a.err = p.client.Acquire(ctx, name, opts...)
	}()
	synctest.Wait()
	return a
}

type acquisition struct {
	scene *scene
	done  chan struct{}
	lock  *sqllock.Lock
	err   error
}

func (a *acquisition) ended() bool {
	select {
	case <-a.done:
		return true
	default:
		return false
	}
}

// granted is the lock, which must have been granted by now.
func (a *acquisition) granted() *sqllock.Lock {
	a.scene.Helper()
	synctest.Wait()
	require.True(a.scene, a.ended(), "granted by now")
	require.NoError(a.scene, a.err)
	return a.lock
}

// refused is the error, which must have been returned by now.
func (a *acquisition) refused() error {
	a.scene.Helper()
	synctest.Wait()
	require.True(a.scene, a.ended(), "refused by now")
	require.Error(a.scene, a.err)
	return a.err
}

func (s *scene) release(locks ...*sqllock.Lock) {
	s.Helper()
	for _, l := range locks {
		require.NoError(s, l.Release(s.Context()))
	}
}

// free requires that the table has neither holders nor waiters of a name.
func (s *scene) free(name string) {
	s.Helper()
	synctest.Wait()
	require.Empty(s, s.table.holders(name), "holders of %s", name)
	require.Empty(s, s.table.waiters(name), "waiters for %s", name)
}

// request asks the engine directly, without the line that a Client has in front of it.
func (s *scene) request(name string, holder sqllock.Holder) *sqllock.Request {
	return &sqllock.Request{Name: name, Key: name, TTL: ttl, Holder: holder}
}

// witness is told of a loss.
type witness struct {
	scene   *scene
	reasons chan error
}

func (s *scene) witness() *witness { return &witness{s, make(chan error, 1)} }

func (w *witness) Lost(reason error) {
	select {
	case w.reasons <- reason:
	default:
		w.scene.Errorf("told a second time: %v", reason)
	}
}

// reason is what the witness was told, or nil.
func (w *witness) reason() error {
	synctest.Wait()
	select {
	case err := <-w.reasons:
		return err
	default:
		return nil
	}
}

func names(n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf("n%03d", i)
	}
	return all
}
