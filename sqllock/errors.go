package sqllock

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// The sentinels that errors of this module match with [errors.Is]. An error of the database matches none of them:
// it is returned as the driver gave it, wrapped, and never means that somebody else holds the lock.
var (
	// ErrNotAcquired says that the lock was not granted: it is held elsewhere, or others wait for it, and either this was
	// a single attempt or the wait has ended. [HeldError] carries what is known of the holder.
	ErrNotAcquired = errors.New("sqllock: lock not acquired")

	// ErrLost says that a lock was held and then ended without our Release. [LostError] carries the reason.
	ErrLost = errors.New("sqllock: lock lost")

	// ErrReleased says that the lock has been released by its holder.
	ErrReleased = errors.New("sqllock: lock released")

	// ErrClosed says that the Client has been closed.
	ErrClosed = errors.New("sqllock: client closed")

	// ErrUnsupported says that this backend cannot do what was asked; the message says which one can.
	ErrUnsupported = errors.New("sqllock: not supported by this backend")

	// ErrInvalid says that an argument can never work: a name, a duration, a number of permits. No SQL was sent.
	ErrInvalid = errors.New("sqllock: invalid argument")

	// ErrNotConfirmed says that ForceRelease asked, but could not see in time that the lock was given up.
	ErrNotConfirmed = errors.New("sqllock: forced release not confirmed")

	// ErrSchema says that the toolkit's tables are missing, or too old or too new for this build;
	// the message names the command that mends it.
	ErrSchema = errors.New("sqllock: schema missing or incompatible")

	// ErrNoLeader says that nobody holds the name whose leader was asked for.
	ErrNoLeader = errors.New("sqllock: no leader")

	// ErrTooMany says that the server, or a limit that keeps one process from taking all that it has, leaves no room for another
	// lock. The message names the setting. What is held already is not affected.
	ErrTooMany = errors.New("sqllock: too many locks")

	// ErrRefused says that the backend saw that locks taken here would not exclude anybody: a pooler, a standby, a
	// server that ignores advisory locks. The message says what to change.
	ErrRefused = errors.New("sqllock: locks would not be safe here")
)

// HeldError is why a lock was not acquired. It matches [ErrNotAcquired] and, when a context or the limit given with
// [Wait] ended the wait, also that cause.
type HeldError struct {
	Name    string
	Owner   string    // one of the holders, as it named itself; empty if not known
	Expires time.Time // when that holder's lease ends unless renewed, on the database's clock; zero if not known
	Detail  string    // what stands in the way if it is not a holder with a name, for instance "a transaction"
	Cause   error     // what ended the wait; nil for a single attempt
}

func (e *HeldError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "sqllock: lock %q not acquired", e.Name)
	switch {
	case e.Owner != "":
		fmt.Fprintf(&b, ": held by %s", e.Owner)
	case e.Detail != "":
		fmt.Fprintf(&b, ": held by %s", e.Detail)
	}
	if !e.Expires.IsZero() {
		fmt.Fprintf(&b, " until %s unless renewed", e.Expires.UTC().Format("15:04:05.000Z"))
	}
	if e.Cause != nil {
		fmt.Fprintf(&b, ": %v", e.Cause)
	}
	return b.String()
}

// endedBy is e after a wait that ended before it was asked again.
func (e *HeldError) endedBy(cause error) error {
	if e.Cause == nil {
		e.Cause = cause
	}
	return e
}

// Is reports that a HeldError is an [ErrNotAcquired].
func (e *HeldError) Is(target error) bool { return target == ErrNotAcquired }

// Unwrap returns what ended the wait.
func (e *HeldError) Unwrap() error { return e.Cause }

// LostError is why a lock is no longer held although nobody released it. It matches [ErrLost] and its Reason.
type LostError struct {
	Name   string
	Reason error
}

func (e *LostError) Error() string { return fmt.Sprintf("sqllock: lock %q lost: %v", e.Name, e.Reason) }

// Is reports that a LostError is an [ErrLost].
func (e *LostError) Is(target error) bool { return target == ErrLost }

// Unwrap returns the reason.
func (e *LostError) Unwrap() error { return e.Reason }

// The reasons that a LostError carries beside errors of the database.
var (
	// ErrExpired: the lease ran out before a renewal was confirmed.
	ErrExpired = errors.New("the lease ran out before a renewal was confirmed")

	// ErrForced: somebody took the lock away with ForceRelease.
	ErrForced = errors.New("released by force")

	// ErrEvicted: the database no longer knows this holder; its session had expired there, or was deleted.
	ErrEvicted = errors.New("the database no longer knows this holder")
)

func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrInvalid, fmt.Sprintf(format, args...))
}
