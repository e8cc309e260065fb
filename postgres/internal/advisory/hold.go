package advisory

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/sqllock/toolkit/sqllock"
)

// Hold is a granted lock. It implements [sqllock.Hold].
type Hold struct {
	link    *link // on which it was granted, and with which it ends
	entry   *entry
	next    *Hold
	req     *sqllock.Request
	ended   atomic.Pointer[error]
	token   int64
	since   time.Duration
	mark    pair  // locked once something was published
	slot    int32 // of a permit
	leaving bool  // a release is on its way or done
}

var _ sqllock.Hold = (*Hold)(nil)

// Token implements [sqllock.Hold].
func (h *Hold) Token() int64 { return h.token }

// Deadline implements [sqllock.Hold]: the server may end a session at any time.
func (h *Hold) Deadline() (time.Duration, bool) { return 0, false }

// Err implements [sqllock.Hold]. It takes no lock that somebody might have while they talk to the server.
func (h *Hold) Err() error {
	if ended := h.ended.Load(); ended != nil {
		return *ended
	}
	return h.link.err()
}

// Verify implements [sqllock.Hold]: it asks the server who holds the key, on the session itself.
func (h *Hold) Verify(ctx context.Context) error {
	s := h.link.session
	o := newOp(holders, h.entry)
	s.mu.Lock()
	if s.link != h.link {
		s.mu.Unlock()
		return h.lost(h.Err())
	}
	s.submit(o)
	s.unlock()
	if err := s.await(ctx, o); err != nil {
		return err
	}
	if err := h.Err(); err != nil {
		return h.lost(err)
	}
	if o.err != nil {
		return fmt.Errorf("postgres: verify: %w", o.err)
	}
	if !slices.Contains(o.pids, int64(h.link.pid)) {
		return h.lost(sqllock.ErrEvicted)
	}
	return nil
}

// lost makes an error of the reason for which the lock has ended.
func (h *Hold) lost(reason error) error { return &sqllock.LostError{Name: h.req.Name, Reason: reason} }

// Barriers are the locks that a transaction guarded with this hold takes shared, and Session one that is held exclusively for as long
// as the session lives, which nobody else ever asks for.
func (h *Hold) Barriers() (barriers [3][2]int32, session [2]int32) {
	b, r, p := h.entry.barrier, h.entry.forReaders(), h.entry.forPermits()
	switch h.req.Mode {
	case sqllock.ModeShared:
		r = b // readers may come, so their barrier stays open
	case sqllock.ModePermit:
		p = h.entry.slotBarrier(int(h.slot)) // other permits may come, but nobody gets this one
	}
	n := h.link.nonce
	return [3][2]int32{{b.a, b.b}, {r.a, r.b}, {p.a, p.b}}, [2]int32{n.a, n.b}
}

// Holder is the server process that holds the key, and the key.
func (h *Hold) Holder() (pid int32, key int64) { return int32(h.link.pid), h.entry.key }
