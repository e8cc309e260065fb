package advisory

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/sqllock/toolkit/sqllock"
)

// What a holder publishes is in a row of a table, which does not end with the lock. So the session locks a random pair, its mark, with the first
// publication of each hold, and gives it up in the transaction that gives up the key: a row counts only while the session that wrote it
// has both. The key alone would not do, because the session may have been granted it again since, and published nothing yet.

// Publication is what the holder of a key tells others.
type Publication struct {
	Hold  *Hold
	Name  string
	Key   int64
	Owner string
	Value map[string]string
	Held  time.Duration // so far
	PID   uint32        // of the session
	Mark  int64         // which it has locked
}

var _ sqllock.LeaderStore = (*Session)(nil)

// PublishLeader implements [sqllock.LeaderStore].
func (s *Session) PublishLeader(ctx context.Context, hold sqllock.Hold, value map[string]string) error {
	h := hold.(*Hold)
	if h.req.Mode != sqllock.ModeExclusive {
		return fmt.Errorf("postgres: publish for %q: %w: a session lock that is %v has no value; lock it exclusively, or use a Table",
			h.req.Name, sqllock.ErrUnsupported, h.req.Mode)
	}
	m, err := s.marked(ctx, h)
	if err != nil {
		return err
	}
	return s.cfg.Publish(ctx, Publication{
		Hold: h, Name: h.req.Name, Key: h.entry.key, Owner: s.cfg.Owner, Value: value, Held: s.now() - h.since, PID: h.link.pid, Mark: m.number(),
	})
}

// Leader implements [sqllock.LeaderStore].
func (s *Session) Leader(ctx context.Context, name string) (sqllock.Leader, error) {
	return s.cfg.Leader(ctx, name)
}

// marked is the mark of a hold, which is locked if it is not yet.
func (s *Session) marked(ctx context.Context, h *Hold) (pair, error) {
	s.mu.Lock()
	if err := s.keeps(h); err != nil || h.mark != (pair{}) {
		defer s.mu.Unlock()
		return h.mark, err
	}
	o := newOp(mark, h.entry)
	o.hold = h
	s.submit(o)
	s.unlock()
	if err := s.await(ctx, o); err != nil {
		return pair{}, fmt.Errorf("postgres: publish for %q: the server has not answered: %w", h.req.Name, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.keeps(h); err != nil {
		return pair{}, err
	}
	if o.err != nil {
		return pair{}, explain(fmt.Sprintf("publish for %q", h.req.Name), o.err)
	}
	return h.mark, nil
}

// keeps is nil while no release of h has begun and nothing has ended it.
func (s *Session) keeps(h *Hold) error {
	switch {
	case h.Err() != nil:
		return h.lost(h.Err())
	case h.leaving:
		return h.lost(sqllock.ErrReleased)
	}
	return nil
}

// Kept is nil if the session has the lock and has not begun to give it up. Whoever has closed the barriers before they ask knows that
// nobody else has been granted it, and will not be until they open them.
func (h *Hold) Kept() error {
	s := h.link.session
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.keeps(h)
}

// beginMark sends the op, unless the hold has ended while that waited for its turn.
func (s *Session) beginMark(o *op) {
	err := s.keeps(o.hold)
	if err == nil && s.locks == s.cfg.MaxLocks {
		err = s.tooMany()
	}
	if err != nil || o.hold.mark != (pair{}) {
		s.finish(o, err)
		s.follow(o.entry)
		return
	}
	var random [8]byte
	_, _ = rand.Read(random[:]) // never fails
	o.pair = pair{int32(binary.BigEndian.Uint32(random[:])), int32(binary.BigEndian.Uint32(random[4:]))}
	o.entry.busy = o
	s.asking = append(s.asking, o)
}

// marking takes in the answer.
func (s *Session) marking(o *op) {
	if o.failure == nil && o.code == 0 {
		o.failure = fmt.Errorf("postgres: the session cannot lock a pair that nobody knows: %w", errUsed)
	}
	if o.failure == nil {
		o.hold.mark = o.pair
		s.locks++
	}
	s.finish(o, o.failure)
}
