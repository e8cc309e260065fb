package leaderelect_test

import (
	"context"
	"errors"
	"maps"
	"sync"
	"time"

	"github.com/sqllock/toolkit/sqllock"
)

// fakeDatabase locks names in memory, first come, first served. Each Client of it is a process.
type fakeDatabase struct {
	metadata    bool // values are stored with locks
	unpublished error

	mu      sync.Mutex
	down    error // of every call
	tokens  int64
	holders map[string]*fakeHold
	waiters map[string][]*fakeWaiter
	freeErr error
}

func newFakeDatabase() *fakeDatabase {
	return &fakeDatabase{metadata: true, holders: make(map[string]*fakeHold), waiters: make(map[string][]*fakeWaiter)}
}

type fakeWaiter struct {
	req     *sqllock.Request
	owner   string
	granted chan *fakeHold // closed by nobody: has room for one
}

type fakeHold struct {
	db    *fakeDatabase
	req   *sqllock.Request
	owner string
	token int64
	since time.Time
	value map[string]string
	led   bool // has published
	gone  error
}

func (db *fakeDatabase) fails(err error) {
	db.mu.Lock()
	defer db.mu.Unlock()
	db.down = err
}

func (db *fakeDatabase) failsToRelease(err error) {
	db.mu.Lock()
	defer db.mu.Unlock()
	db.freeErr = err
}

// lose ends the present hold of a name. told says whether its holder is told, or finds out when it looks.
func (db *fakeDatabase) lose(name string, reason error, told bool) {
	db.mu.Lock()
	h := db.holders[name]
	h.gone = reason
	db.free(name)
	db.mu.Unlock()
	if told {
		h.req.Holder.Lost(reason)
	}
}

// free gives a name to who has waited longest.
func (db *fakeDatabase) free(name string) {
	delete(db.holders, name)
	if line := db.waiters[name]; len(line) > 0 {
		db.waiters[name] = line[1:]
		line[0].granted <- db.grant(line[0].req, line[0].owner)
	}
}

func (db *fakeDatabase) grant(req *sqllock.Request, owner string) *fakeHold {
	db.tokens++
	h := &fakeHold{db: db, req: req, owner: owner, token: db.tokens, since: time.Now(), value: req.Metadata, led: db.metadata}
	db.holders[req.Key] = h
	return h
}

func (db *fakeDatabase) held(name string) bool {
	db.mu.Lock()
	defer db.mu.Unlock()
	return db.holders[name] != nil
}

func (db *fakeDatabase) Capabilities() sqllock.Capabilities {
	return sqllock.Capabilities{Tokens: true, Metadata: db.metadata}
}

func (db *fakeDatabase) Key(name string) string { return name }

func (db *fakeDatabase) Open(cfg sqllock.SessionConfig) (sqllock.Session, error) {
	return &fakeSession{fakeDatabase: db, owner: cfg.Owner}, nil
}

type fakeSession struct {
	*fakeDatabase
	owner string
}

func (s *fakeSession) Ping(context.Context) error { return nil }

func (s *fakeSession) Try(_ context.Context, reqs []*sqllock.Request, results []sqllock.Result) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, req := range reqs {
		switch {
		case s.down != nil:
			results[i].Err = s.down
		case s.holders[req.Key] != nil || len(s.waiters[req.Key]) > 0:
			results[i].Err = &sqllock.HeldError{Name: req.Name}
		default:
			results[i].Hold = s.grant(req, s.owner)
		}
	}
}

func (s *fakeSession) Wait(ctx context.Context, req *sqllock.Request) (sqllock.Hold, error) {
	w := &fakeWaiter{req: req, owner: s.owner, granted: make(chan *fakeHold, 1)}
	s.mu.Lock()
	if s.waiters[req.Key] = append(s.waiters[req.Key], w); s.holders[req.Key] == nil {
		s.free(req.Key)
	}
	s.mu.Unlock()
	select {
	case h := <-w.granted:
		return h, nil
	case <-ctx.Done():
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case h := <-w.granted:
		return h, nil
	default:
	}
	line := s.waiters[req.Key]
	for i := range line {
		if line[i] == w {
			s.waiters[req.Key] = append(line[:i:i], line[i+1:]...)
		}
	}
	return nil, &sqllock.HeldError{Name: req.Name, Cause: context.Cause(ctx)}
}

func (s *fakeSession) Release(_ context.Context, holds []sqllock.Hold, results []error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range holds {
		h := holds[i].(*fakeHold)
		if results[i] = s.freeErr; h.gone != nil {
			results[i] = &sqllock.LostError{Name: h.req.Name, Reason: h.gone}
			continue
		}
		h.gone = sqllock.ErrReleased
		s.free(h.req.Key)
	}
}

func (s *fakeSession) PublishLeader(_ context.Context, hold sqllock.Hold, value map[string]string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := hold.(*fakeHold)
	switch {
	case s.unpublished != nil:
		return s.unpublished
	case h.gone != nil:
		return &sqllock.LostError{Name: h.req.Name, Reason: h.gone}
	}
	h.value, h.led = value, true
	return nil
}

func (s *fakeSession) Leader(_ context.Context, name string) (sqllock.Leader, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.holders[name]
	switch {
	case s.down != nil:
		return sqllock.Leader{}, s.down
	case errors.Is(s.unpublished, sqllock.ErrUnsupported):
		return sqllock.Leader{}, s.unpublished
	case h == nil || !h.led:
		return sqllock.Leader{}, sqllock.ErrNoLeader
	}
	return sqllock.Leader{Name: name, Token: h.token, Owner: h.owner, Value: maps.Clone(h.value), Since: h.since}, nil
}

func (s *fakeSession) Locks(context.Context) ([]sqllock.LockInfo, error) { return nil, nil }

func (s *fakeSession) ForceRelease(context.Context, string) error { return nil }

// Close frees what this process holds.
func (s *fakeSession) Close(context.Context) error {
	s.mu.Lock()
	var ended []*fakeHold
	for name, h := range s.holders {
		if h.owner == s.owner {
			h.gone = sqllock.ErrClosed
			ended = append(ended, h)
			s.free(name)
		}
	}
	s.mu.Unlock()
	for _, h := range ended {
		h.req.Holder.Lost(sqllock.ErrClosed)
	}
	return nil
}

func (h *fakeHold) Token() int64 { return h.token }

func (h *fakeHold) Deadline() (time.Duration, bool) { return 0, false }

func (h *fakeHold) Err() error {
	h.db.mu.Lock()
	defer h.db.mu.Unlock()
	return h.gone
}

func (h *fakeHold) Verify(context.Context) error { return h.Err() }
