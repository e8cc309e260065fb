package locktest

import (
	"context"
	"database/sql"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sqllock/toolkit/sqllock"
)

const (
	// shortTTL is for leases that are to run out.
	shortTTL = 600 * time.Millisecond

	// longTTL is for leases that must not, on a machine however busy. It is much longer than slack, so that a lock that
	// is only freed by its expiry is told from one that was released.
	longTTL = time.Minute

	// slack is what an upper bound allows beyond the duration that is promised. No claim is about speed.
	slack = 10 * time.Second

	// claimTimeout ends a claim that hangs, with what it was waiting for in the failure.
	claimTimeout = time.Minute
)

// arena is where one claim is checked: a database of its own, and those who compete for locks in it.
type arena struct {
	*testing.T
	subject Subject
	dsn     string
	can     sqllock.Capabilities
	ctx     context.Context
}

func newArena(t *testing.T, s Subject) *arena {
	ctx, cancel := context.WithTimeout(t.Context(), claimTimeout)
	t.Cleanup(cancel)
	a := &arena{T: t, subject: s, dsn: s.Fresh(t), ctx: ctx}
	b, closeBackend, err := s.Backend(a.dsn)
	require.NoError(t, err)
	defer closeBackend()
	a.can = b.Capabilities()
	return a
}

// party is one Client with a backend of its own: to the database the same as another process.
type party struct {
	*sqllock.Client
	backend sqllock.Backend
	owner   string
}

// party makes a Client whose leases do not run out unless opts say so.
func (a *arena) party(owner string, opts ...sqllock.ClientOption) *party {
	a.Helper()
	return a.partyAt(a.dsn, owner, opts...)
}

func (a *arena) partyAt(dsn, owner string, opts ...sqllock.ClientOption) *party {
	a.Helper()
	b, closeBackend, err := a.subject.Backend(dsn)
	require.NoError(a, err)
	client := sqllock.New(b, append(append(a.leases(longTTL), sqllock.Owner(owner)), opts...)...)
	a.Cleanup(func() {
		assert.NoError(a, client.Close(context.Background()))
		closeBackend()
	})
	return &party{client, b, owner}
}

// leases is the option TTL where there are leases; session locks would refuse it.
func (a *arena) leases(ttl time.Duration) []sqllock.ClientOption {
	if !a.can.Leases {
		return nil
	}
	return []sqllock.ClientOption{sqllock.TTL(ttl)}
}

// db is the application's own access to the arena's database.
func (a *arena) db() *sql.DB {
	a.Helper()
	db, err := a.subject.DB(a.dsn)
	require.NoError(a, err)
	a.Cleanup(func() { _ = db.Close() })
	return db
}

func (a *arena) exec(db *sql.DB, query string) {
	a.Helper()
	_, err := db.ExecContext(a.ctx, query)
	require.NoError(a, err, query)
}

func (a *arena) int(db *sql.DB, query string) (n int) {
	a.Helper()
	require.NoError(a, db.QueryRowContext(a.ctx, query).Scan(&n), query)
	return n
}

func (a *arena) acquire(p *party, name string, opts ...sqllock.Option) *sqllock.Lock {
	a.Helper()
	l, err := p.Acquire(a.ctx, name, opts...)
	require.NoError(a, err)
	return l
}

// soon acquires what has to be free without anybody's lease running out.
func (a *arena) soon(p *party, name string, opts ...sqllock.Option) *sqllock.Lock {
	a.Helper()
	l, err := p.Acquire(a.ctx, name, append(opts, sqllock.Wait(slack))...)
	require.NoError(a, err)
	return l
}

func (a *arena) release(l *sqllock.Lock) {
	a.Helper()
	require.NoError(a, l.Release(a.ctx))
}

// refused makes a single attempt that must not succeed because somebody else holds.
func (a *arena) refused(p *party, name string, opts ...sqllock.Option) {
	a.Helper()
	l, err := p.TryAcquire(a.ctx, name, opts...)
	require.ErrorIs(a, err, sqllock.ErrNotAcquired)
	require.Nil(a, l)
}

// kept makes a single attempt that must not succeed while somebody else's transaction is open.
func (a *arena) kept(p *party, name string, opts ...sqllock.Option) {
	a.Helper()
	if !a.subject.OneWriter {
		a.refused(p, name, opts...)
		return
	}
	ctx, cancel := context.WithTimeout(a.ctx, aWhile) // the attempt itself has to wait for the transaction
	defer cancel()
	l, err := p.TryAcquire(ctx, name, opts...)
	require.Error(a, err)
	require.Nil(a, l)
}

// unsupported asks for what the backend says it cannot do.
func (a *arena) unsupported(opts ...sqllock.Option) {
	a.Helper()
	p := a.party("")
	for _, acquire := range []func(context.Context, string, ...sqllock.Option) (*sqllock.Lock, error){p.Acquire, p.TryAcquire} {
		l, err := acquire(a.ctx, "n", opts...)
		require.ErrorIs(a, err, sqllock.ErrUnsupported)
		require.Nil(a, l)
	}
}

// pending is an acquisition that somebody else is making.
type pending struct {
	done chan struct{}
	lock *sqllock.Lock
	err  error
	at   time.Time
}

// begin starts to acquire in a goroutine of its own, and does not wait for anything.
func (a *arena) begin(ctx context.Context, p *party, name string, opts ...sqllock.Option) *pending {
	w := &pending{done: make(chan struct{})}
	go func() {
		defer close(w.done)
		w.lock, w.err = p.Acquire(ctx, name, opts...)
		w.at = time.Now()
	}()
	a.Cleanup(func() { <-w.done }) // a.ctx has ended by now
	return w
}

// waits starts to acquire and returns once the database knows of the waiter.
func (a *arena) waits(p *party, name string, opts ...sqllock.Option) *pending {
	a.Helper()
	before := len(a.waiters(p, name))
	w := a.begin(a.ctx, p, name, opts...)
	a.eventually(func() bool { return len(a.waiters(p, name)) > before }, "the waiter is seen")
	return w
}

// granted waits until the acquisition has ended well.
func (a *arena) granted(w *pending) *sqllock.Lock {
	a.Helper()
	a.within(slack, w.done, "the lock is granted")
	require.NoError(a, w.err)
	return w.lock
}

func (w *pending) ended() bool {
	select {
	case <-w.done:
		return true
	default:
		return false
	}
}

// grant is the lock, if it has been granted by now.
func (w *pending) grant() *sqllock.Lock {
	if !w.ended() {
		return nil
	}
	return w.lock
}

// within waits for done, and fails after d.
func (a *arena) within(d time.Duration, done <-chan struct{}, what string) {
	a.Helper()
	timeout := time.NewTimer(d)
	defer timeout.Stop()
	select {
	case <-done:
	case <-timeout.C:
		a.Fatalf("not after %v: %s", d, what)
	}
}

// stays watches for d that done is not closed.
func (a *arena) stays(d time.Duration, done <-chan struct{}, what string) {
	a.Helper()
	over := time.NewTimer(d)
	defer over.Stop()
	select {
	case <-done:
		a.Fatalf("within %v: %s", d, what)
	case <-over.C:
	}
}

func (a *arena) eventually(condition func() bool, what string) {
	a.Helper()
	for deadline := time.Now().Add(slack); !condition(); {
		if time.Now().After(deadline) {
			a.Fatalf("not after %v: %s", slack, what)
		}
		time.Sleep(2 * time.Millisecond) // between two looks
	}
}

// infos are what p's Locks tell of name. A backend may know only the key.
func (a *arena) infos(p *party, name string) []sqllock.LockInfo {
	a.Helper()
	all, err := p.Locks(a.ctx)
	require.NoError(a, err)
	var of []sqllock.LockInfo
	for _, i := range all {
		if i.Name == name || i.Name == "" && i.Key == p.backend.Key(name) {
			of = append(of, i)
		}
	}
	return of
}

func (a *arena) waiters(p *party, name string) []sqllock.LockInfo {
	a.Helper()
	var waiters []sqllock.LockInfo
	for _, i := range a.infos(p, name) {
		if i.Waiting {
			waiters = append(waiters, i)
		}
	}
	return waiters
}

// inParallel runs f(0) to f(n-1) at once and returns what failed.
func inParallel(n int, f func(i int) error) error {
	errs := make([]error, n)
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { errs[i] = f(i) })
	}
	all.Wait()
	return errors.Join(errs...)
}
