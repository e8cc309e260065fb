package advisory

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/sqllock/toolkit/sqllock"
)

// Config is what a backend gives its sessions.
type Config struct {
	sqllock.SessionConfig
	Connector
	Key      func(name string) int64
	Poll     time.Duration // how often waiters try although nothing was pushed
	MaxLocks int           // of the server's, beyond which nothing more is asked for
	Name     func(ctx context.Context, seen []Named) error
	List     func(ctx context.Context, known []Named) ([]sqllock.LockInfo, error)
	Publish  func(ctx context.Context, p Publication) error
	Leader   func(ctx context.Context, name string) (sqllock.Leader, error)
	Sentinel bool
}

// Session is one Client's side of the server: one connection, which carries everything that the Client holds and waits for.
// It implements [sqllock.Session].
type Session struct {
	cfg Config

	life context.Context // ends with Close
	die  context.CancelFunc

	mu       sync.Mutex
	closed   bool
	drained  chan struct{} // closed when nothing is left to do after Close
	link     *link
	dialling bool
	pause    time.Duration // before the next dialling
	redial   sqllock.Timer
	poll     sqllock.Timer
	polling  bool
	entries  map[int64]*entry
	locks    int // of the server's, held or about to be

	leaving, entering, asking []*op
	flying                    *batch
	check                     check // of what the session really holds
	ping                      bool
	trip                      time.Duration // of a batch, on average
	at                        time.Duration // when the last one was answered
	waiters                   int
	gather                    int           // so many ops are expected before the next batch leaves
	busy                      time.Duration // when there was last anything to do
	forcing                   map[string]*force
	watch                     *sentinel

	// For when mu is not held any more.
	finished []*op
	losses   []loss

	dials sync.WaitGroup
}

var _ sqllock.Session = (*Session)(nil)

// Open makes a session. It connects when it is first needed.
func Open(cfg Config) *Session {
	s := &Session{cfg: cfg, entries: make(map[int64]*entry), forcing: make(map[string]*force)}
	s.life, s.die = context.WithCancel(context.Background())
	return s
}

func (s *Session) now() time.Duration { return s.cfg.Clock.Now() }

// entry returns what the session has to do with a key.
func (s *Session) entry(key int64) *entry {
	e := s.entries[key]
	if e == nil {
		e = &entry{keys: keysOf(key)}
		s.entries[key] = e
	}
	return e
}

// Try implements [sqllock.Session].
func (s *Session) Try(ctx context.Context, reqs []*sqllock.Request, results []sqllock.Result) {
	if len(reqs) == 1 {
		s.mu.Lock()
		o := s.submitAttempt(reqs[0])
		err := s.unlockAndAwait(ctx, o)
		results[0] = o.result(err)
		o.recycle(err)
		return
	}
	ops := make([]*op, len(reqs))
	s.mu.Lock()
	for i, req := range reqs {
		ops[i] = s.submitAttempt(req)
	}
	s.unlock()
	for i, o := range ops {
		results[i] = o.result(s.await(ctx, o))
	}
}

// Release implements [sqllock.Session].
func (s *Session) Release(ctx context.Context, holds []sqllock.Hold, results []error) {
	if len(holds) == 1 {
		s.mu.Lock()
		o, err := s.submitRelease(holds[0].(*Hold))
		if o == nil {
			s.unlock()
			results[0] = err
			return
		}
		err = s.unlockAndAwait(ctx, o)
		results[0] = o.outcome(err)
		o.recycle(err)
		return
	}
	ops := make([]*op, len(holds))
	s.mu.Lock()
	for i, h := range holds {
		ops[i], results[i] = s.submitRelease(h.(*Hold))
	}
	s.unlock()
	for i, o := range ops {
		if o != nil {
			results[i] = o.outcome(s.await(ctx, o))
		}
	}
}

// Ping implements [sqllock.Session].
func (s *Session) Ping(ctx context.Context) error {
	o := newOp(holders, nil)
	o.entry = &entry{keys: keys{key: 0}}
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return sqllock.ErrClosed
	}
	s.submit(o)
	s.unlock()
	if err := s.await(ctx, o); err != nil {
		return fmt.Errorf("postgres: the server has not answered: %w", err)
	}
	if o.err != nil {
		return explain("ping", o.err)
	}
	return nil
}

// Locks implements [sqllock.Session].
func (s *Session) Locks(ctx context.Context) ([]sqllock.LockInfo, error) {
	s.mu.Lock()
	known := make([]Named, 0, len(s.entries))
	for _, e := range s.entries {
		if name := e.name(); name != "" {
			known = append(known, Named{e.key, name})
		}
	}
	s.mu.Unlock()
	infos, err := s.cfg.List(ctx, known)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.annotate(infos), nil
}
