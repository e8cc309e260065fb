package sqllock

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"time"
)

// Backend is a way to keep locks in one kind of database. Applications make one with the packages postgres, mysql or
// sqlite, give it to [New], and never call it themselves. The contract is checked by package locktest.
type Backend interface {
	// Capabilities tells what the backend can do. No I/O.
	Capabilities() Capabilities

	// Key is what the backend really locks for a name. Names with one key exclude each other. No I/O.
	Key(name string) string

	// Open makes the session of one Client. It does no I/O; an error here is one of configuration.
	Open(cfg SessionConfig) (Session, error)
}

// Capabilities are what a [Backend] can do. Asking for more is an [ErrUnsupported] before any SQL runs.
type Capabilities struct {
	Shared   bool // reader locks
	Permits  bool // semaphores
	Leases   bool // TTL, AtLeast, Deadline: a lock ends with time, not with a connection
	Tokens   bool // Token is never 0
	Metadata bool // Metadata is stored with the lock and readable by all
	Fair     bool // waiters of different processes are served in the order they came

	// MixedPermits says that those who hold and want permits of one name may ask for different numbers: the smallest counts.
	MixedPermits bool
}

// SessionConfig is what a [Client] hands to its backend.
type SessionConfig struct {
	Owner  string // who we are, for people
	TTL    time.Duration
	Clock  Clock
	Rand   rand.Source // safe for concurrent use
	Logger *slog.Logger
}

// Session is a Client's side of a [Backend]: everything that the Client holds there and waits for there. Its methods are
// safe for concurrent use. Contexts bound how long the *caller* waits: what is on the wire when a context ends is
// finished by the session, and a lock granted too late is given back by it. Slices belong to the caller again when a method has returned.
type Session interface {
	// Ping connects, and finds out whether locks can be taken. Errors match [ErrSchema] or [ErrRefused] where they are the cause.
	Ping(ctx context.Context) error

	// Try makes one attempt at each request, all in one statement where the database allows. The keys are distinct.
	// results has the length of reqs. An Err matches [ErrNotAcquired] if and only if the lock is taken or waited for by others;
	// where ctx ends before that is known, it matches the context's cause.
	Try(ctx context.Context, reqs []*Request, results []Result)

	// Wait follows a Try that was refused. It returns once the request is granted, or when ctx ends, the session is closed
	// ([ErrClosed]) or the database answers with an error that will not go away. When ctx ends, the error matches
	// [ErrNotAcquired] and the context's cause, unless the last attempt failed on the database: then it is that error.
	Wait(ctx context.Context, req *Request) (Hold, error)

	// Release gives up holds, all in one statement where the database allows. results has the length of holds; an
	// error matches [ErrLost] if that hold was gone. What could not be sent is tried again for as long as the session lives.
	Release(ctx context.Context, holds []Hold, results []error)

	// Locks lists holders and waiters of this namespace.
	Locks(ctx context.Context) ([]LockInfo, error)

	// ForceRelease takes name from all its holders; see [Client.ForceRelease].
	ForceRelease(ctx context.Context, name string) error

	// Close ends waiters with [ErrClosed], releases what is held, and closes connections, in bounded time.
	Close(ctx context.Context) error
}

// Mode is how a lock excludes others.
type Mode uint8

// The modes. Exclusive excludes everybody; shared excludes all but shared; permits exclude exclusive and shared, and
// each other beyond their number.
const (
	ModeExclusive Mode = iota
	ModeShared
	ModePermit
)

func (m Mode) String() string {
	switch m {
	case ModeShared:
		return "shared"
	case ModePermit:
		return "permit"
	default:
		return "exclusive"
	}
}

// Request is one lock that somebody wants.
type Request struct {
	Name     string
	Key      string // Backend.Key(Name)
	Mode     Mode
	Permits  int               // ModePermit: at most so many holders
	TTL      time.Duration     // leases
	AtLeast  time.Duration     // leases: not granted to others before so long has passed
	Metadata map[string]string // never changed after the request was made
	Holder   Holder            // is told of a loss
	Waits    bool              // if this attempt is refused, a Wait follows unless its context has ended
}

// Result is the outcome of one attempt: a Hold, or an Err.
type Result struct {
	Hold Hold
	Err  error
}

// Holder is told, at most once and without being waited for, that its lock is lost.
// It may be told before the call that acquires the lock has returned.
type Holder interface {
	Lost(reason error)
}

// Hold is a granted lock as its backend knows it.
type Hold interface {
	// Token is the fencing token, or 0 where the backend gives none.
	Token() int64

	// Deadline is until when the lock is ours whatever happens to the database, on this process's clock, as
	// [Clock.Now] counts. False: there is no such instant.
	Deadline() (time.Duration, bool)

	// Err is nil while the lock is held as far as this process can tell by looking at the clock now; then the reason.
	Err() error

	// Verify asks the database. An error that matches [ErrLost] says that the lock is gone; any other that we do not know.
	Verify(ctx context.Context) error
}
