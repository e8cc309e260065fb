package named

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/sqllock/toolkit/sqllock"
)

// Hold is a granted lock. It implements [sqllock.Hold].
type Hold struct {
	session *Session
	link    *link // on which it was granted, and with which it ends
	entry   *entry
	req     *sqllock.Request
	ended   atomic.Pointer[error]
	token   int64
	since   time.Duration
	leaving bool   // a release is on its way or done
	gone    bool   // it is not counted any more
	term    string // a user lock that says that this very hold has published something
}

var _ sqllock.Hold = (*Hold)(nil)

// Token implements [sqllock.Hold].
func (h *Hold) Token() int64 { return h.token }

// Deadline implements [sqllock.Hold]: the server may end a session at any time.
func (h *Hold) Deadline() (time.Duration, bool) { return 0, false }

// Err implements [sqllock.Hold]. It waits for nothing.
func (h *Hold) Err() error {
	if ended := h.ended.Load(); ended != nil {
		return *ended
	}
	return h.link.err()
}

// Verify implements [sqllock.Hold]: it asks the server who holds the key, on the session itself.
func (h *Hold) Verify(ctx context.Context) error {
	s := h.session
	o := newOp(mine, h.entry)
	s.mu.Lock()
	if err := h.Err(); err != nil {
		s.mu.Unlock()
		return h.lost(err)
	}
	s.send(h.link, o)
	if err := s.unlockAndAwait(ctx, o); err != nil {
		return err
	}
	switch {
	case h.Err() != nil:
		return h.lost(h.Err())
	case o.err != nil:
		return fmt.Errorf("mysql: verify: %w", o.err)
	case o.code != '1':
		return h.lost(sqllock.ErrEvicted)
	}
	return nil
}

// Key is the user lock.
func (h *Hold) Key() string { return h.entry.key }

// Marker is a user lock that the same session holds for as long as it lives, and nobody else ever asks for: where one session has both, this one
// has not ended.
func (h *Hold) Marker() string { return h.link.marker }

// Doubt says that the database knows another holder: this one is told that its lock is lost, and what it may still hold is given up.
func (h *Hold) Doubt() {
	s := h.session
	s.mu.Lock()
	defer s.unlock()
	if !h.leaving && !h.gone {
		s.takeAway(h, sqllock.ErrEvicted)
	}
}

// Name is what was asked for.
func (h *Hold) Name() string { return h.req.Name }

// lost makes an error of the reason for which the lock has ended.
func (h *Hold) lost(reason error) error { return &sqllock.LostError{Name: h.req.Name, Reason: reason} }
