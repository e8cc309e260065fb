package lease

import (
	"context"
	"fmt"
	"time"

	"github.com/sqllock/toolkit/sqllock"
)

// Hold is a granted lease. Backends get it back through [sqllock.Lock.Hold], to guard a transaction with it.
type Hold struct {
	session *session
	ref     Ref
	name    string
	mode    sqllock.Mode
	holder  sqllock.Holder

	// Guarded by Engine.mu.
	gone error // lost, though its session lives: released by force
}

var _ sqllock.Hold = (*Hold)(nil)

// Ref identifies the holder's row.
func (h *Hold) Ref() Ref { return h.ref }

// Mode is how the lease is held.
func (h *Hold) Mode() sqllock.Mode { return h.mode }

// Session identifies the row whose expiry ends the lease.
func (h *Hold) Session() SessionID { return h.session.id }

// Token implements [sqllock.Hold].
func (h *Hold) Token() int64 { return h.ref.Token }

// Deadline implements [sqllock.Hold].
func (h *Hold) Deadline() (time.Duration, bool) {
	return time.Duration(h.session.deadline.Load()), true
}

// Err implements [sqllock.Hold].
func (h *Hold) Err() error {
	if err := h.session.err(); err != nil {
		return err
	}
	return h.session.engine.goneErr(h)
}

// Verify implements [sqllock.Hold].
func (h *Hold) Verify(ctx context.Context) error {
	e := h.session.engine
	held, err := e.store.Verify(ctx, h.session.id, h.ref)
	if err != nil {
		return err
	}
	if !held {
		return e.disown(h)
	}
	return h.Err()
}

// Doubt says that the hold seems to be gone. Whether and why is found out, and told to all locks concerned, by reconciling.
func (h *Hold) Doubt() { h.session.engine.doubt(h.session) }

func (h *Hold) lost(reason error) error {
	return &sqllock.LostError{Name: h.name, Reason: reason}
}

func lateError(doing string, cause error) error {
	return fmt.Errorf("the database has not confirmed %s in time: %w", doing, cause)
}
