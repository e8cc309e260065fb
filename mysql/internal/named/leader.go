package named

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"
	"time"

	"github.com/sqllock/toolkit/sqllock"
)

var _ sqllock.LeaderStore = (*Session)(nil)

// Publication is what a holder tells of itself. Term is a user lock that its session takes for it and gives up with the lock: where both are held
// by one session, nobody has held the lock since, not even the same Client.
type Publication struct {
	*Hold
	Term  string
	Owner string
	Held  time.Duration
	Value map[string]string
}

// PublishLeader implements [sqllock.LeaderStore].
func (s *Session) PublishLeader(ctx context.Context, hold sqllock.Hold, value map[string]string) error {
	h := hold.(*Hold)
	o := newOp(mark, h.entry)
	s.mu.Lock()
	if err := h.Err(); err != nil {
		s.mu.Unlock()
		return h.lost(err)
	}
	if h.leaving || h.gone {
		s.mu.Unlock()
		return h.lost(sqllock.ErrReleased)
	}
	if h.term == "" {
		h.term = "sqllock-term:" + strings.ToLower(rand.Text())
	}
	o.key = h.term
	s.send(h.link, o)
	err := s.unlockAndAwait(ctx, o)
	switch {
	case err != nil:
		return err
	case h.Err() != nil:
		return h.lost(h.Err())
	case o.err != nil:
		return fmt.Errorf("mysql: publish: %w", o.err)
	case o.code != '1':
		return fmt.Errorf("mysql: publish: %w", errNull)
	}
	return s.cfg.Publish(ctx, Publication{Hold: h, Term: o.key, Owner: s.cfg.Owner, Held: s.now() - h.since, Value: value})
}

// Leader implements [sqllock.LeaderStore].
func (s *Session) Leader(ctx context.Context, name string) (sqllock.Leader, error) {
	return s.cfg.Leader(ctx, name)
}
