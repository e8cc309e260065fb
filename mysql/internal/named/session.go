package named

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
	Poll      time.Duration // how often those try for whom there is no connection to wait on
	MaxParked int           // connections beside the carrier
	Ledger    Ledger        // nil: locks have no tokens
	Key       func(name string) string
	List      func(ctx context.Context, known map[string]string) ([]sqllock.LockInfo, error)
	Force     func(ctx context.Context, key string) error
	Publish   func(ctx context.Context, p Publication) error
	Leader    func(ctx context.Context, name string) (sqllock.Leader, error)
}

// Session is one Client's side of the server. It implements [sqllock.Session].
type Session struct {
	cfg Config

	life context.Context // ends with Close
	die  context.CancelFunc

	mu       sync.Mutex
	closed   bool
	drained  chan struct{} // closed when nothing is left to do after Close
	carrier  *link
	links    []*link       // all that are open, the carrier among them
	calling  int           // connections that are being made to wait on
	spare    []*link       // that wait for nothing and hold nothing
	dialling bool          // the carrier
	unsent   []*op         // until there is a carrier
	pause    time.Duration // before the next dialling
	redial   sqllock.Timer
	poll     sqllock.Timer
	polling  bool
	entries  map[string]*entry
	awaited  map[*entry]struct{} // those with waiters
	forces   map[string]*force
	tokens   []*op // granted, and waiting for their tokens
	counting bool

	// For when mu is not held any more.
	finished []*op
	losses   []loss
	closing  []closing

	work sync.WaitGroup
}

var _ sqllock.Session = (*Session)(nil)

// Open makes a session. It connects when it is first needed.
func Open(cfg Config) *Session {
	s := &Session{cfg: cfg, entries: make(map[string]*entry), awaited: make(map[*entry]struct{}), forces: make(map[string]*force)}
	s.life, s.die = context.WithCancel(context.Background())
	return s
}

func (s *Session) now() time.Duration { return s.cfg.Clock.Now() }

// entry returns what the session has to do with a key.
func (s *Session) entry(key string) *entry {
	e := s.entries[key]
	if e == nil {
		e = &entry{key: key}
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
	o := newOp(open, &entry{key: "sqllock"})
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return sqllock.ErrClosed
	}
	s.send(s.carrier, o)
	if err := s.unlockAndAwait(ctx, o); err != nil {
		return fmt.Errorf("mysql: the server has not answered: %w", err)
	}
	if o.err != nil {
		return explain("ping", o.err)
	}
	if s.cfg.Ledger != nil {
		return s.cfg.Ledger.Check(ctx)
	}
	return nil
}

// Locks implements [sqllock.Session].
func (s *Session) Locks(ctx context.Context) ([]sqllock.LockInfo, error) {
	s.mu.Lock()
	known := make(map[string]string, len(s.entries))
	for key, e := range s.entries {
		switch {
		case e.hold != nil:
			known[key] = e.hold.req.Name
		case len(e.waiters) > 0:
			known[key] = e.waiters[0].req.Name
		}
	}
	closed := s.closed
	s.mu.Unlock()
	if closed {
		return nil, sqllock.ErrClosed
	}
	infos, err := s.cfg.List(ctx, known)
	if err != nil {
		return nil, err
	}
	s.annotate(infos)
	return infos, nil
}

// annotate adds what only this session knows to a list of locks.
func (s *Session) annotate(infos []sqllock.LockInfo) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range infos {
		info := &infos[i]
		e := s.entries[info.Key]
		if e == nil || info.Waiting || e.hold == nil || uint64(info.PID) != e.hold.link.id {
			continue
		}
		info.Token, info.Since, info.Owner = e.hold.token, time.Now().Add(e.hold.since-s.now()), s.cfg.Owner
	}
}
