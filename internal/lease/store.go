package lease

import (
	"context"
	"errors"
	"time"

	"github.com/sqllock/toolkit/sqllock"
)

// Store is the lock table of one database, seen by one [Engine]. Every method is one round trip where the database
// allows, and one transaction; it retries deadlocks and serialization failures by itself. Renew may run beside any
// other method; the rest are called one at a time, but for Acquire, Release and the Seed that follows one, which run in lanes, and for
// Verify, Locks, ForceRelease, Publish and Leader, which callers run directly. Times are the database's, read when the statement runs.
//
// After an error the caller does not know whether the transaction was committed; the engine reconciles.
type Store interface {
	// Check connects and looks at the schema. Errors match [sqllock.ErrSchema] or [sqllock.ErrRefused] where they apply.
	Check(ctx context.Context) error

	// Open inserts the row of a new session with epoch 0.
	Open(ctx context.Context, id SessionID, owner string, ttl time.Duration) error

	// Renew moves the session's expiry and returns its epoch, or [ErrGone] if the row is gone or has expired.
	Renew(ctx context.Context, id SessionID, ttl time.Duration) (epoch int64, err error)

	// Reconcile raises the session's epoch, so that attempts still under way in the server find nothing to grant to, gives
	// up the session's holders that are not in known and its waiters, and returns the new epoch and the holders that remain.
	// It returns [ErrGone] as Renew does, and [ErrStale] with the new epoch if it had not been the given one: a Reconcile that the
	// database gets to late knows nothing of what was granted since, and gives up nothing. A store that gives up what an answer tells,
	// and not before, need not compare.
	Reconcile(ctx context.Context, id SessionID, epoch int64, known []Ref) (raised int64, present []Ref, err error)

	// End deletes the session with all its holders and waiters, and wakes those who wait for them.
	// It waits for transactions in which the session acquires; a holder that a guarded transaction has locked
	// is left behind without a session, and still holds until that transaction ends.
	End(ctx context.Context, id SessionID) error

	// Seed makes the resources that an attempt found missing.
	Seed(ctx context.Context, names []string) error

	// Enlist adds waiters, and returns their ids in the order of wants: 0 for a name that has no resource yet. Who enlisted earlier is
	// served earlier. If the session has another epoch it adds none: the attempt that follows will say why.
	Enlist(ctx context.Context, id SessionID, epoch int64, wants []Want) ([]int64, error)

	// Delist removes waiters and wakes those behind them.
	Delist(ctx context.Context, waiters []int64) error

	// Acquire makes one attempt at every want; their names are distinct. It returns [ErrStale] if the session is gone,
	// has expired, or has another epoch: then nothing was granted. What is granted is durable before it returns.
	Acquire(ctx context.Context, b Batch) ([]Outcome, error)

	// Release gives up holders of one or many sessions, and wakes those who wait for them.
	Release(ctx context.Context, lane int, refs []Ref) ([]Freed, error)

	// Lanes is how many calls of Acquire, or of Release, may run at a time, each in a lane of its own, counted from 0. They are for
	// different names, or for different holders.
	Lanes() int

	// Wake wakes those who are next in line for resources, after a grant that others may share.
	Wake(ctx context.Context, resources []int64) error

	// Collect removes a bounded number of sessions that have expired without anybody meeting them.
	Collect(ctx context.Context) error

	// Watch delivers what the database pushes to sessions until ctx ends. Nothing committed after Watch has called
	// Events.Watching is missed, or else Watching is called again.
	Watch(ctx context.Context, events Events)

	// Poll is how long to wait at most before waiting names are tried again although nothing was pushed.
	Poll() time.Duration

	// Verify tells whether the holder exists and its session has not expired.
	Verify(ctx context.Context, id SessionID, ref Ref) (bool, error)

	// Locks, ForceRelease, Publish and Leader are those of [sqllock.Session] and [sqllock.LeaderStore].
	// Publish returns false if the holder is gone.
	Locks(ctx context.Context) ([]sqllock.LockInfo, error)
	ForceRelease(ctx context.Context, name string) error
	Publish(ctx context.Context, ref Ref, value map[string]string) (bool, error)
	Leader(ctx context.Context, name string) (sqllock.Leader, error)

	// Permanent tells whether trying again is pointless: a missing table, a missing privilege.
	Permanent(err error) bool

	// Close closes the connections. What is under way fails.
	Close() error
}

var (
	// ErrGone says that a session's row is gone or has expired.
	ErrGone = errors.New("lease: session gone")

	// ErrStale says that something was asked for a session that is gone or has another epoch.
	ErrStale = errors.New("lease: the session has expired, or was changed, before the database got to it")
)

// SessionID identifies a session for ever: it is random, and never used again.
type SessionID int64

// Ref identifies a holder.
type Ref struct{ Resource, Token int64 }

// Want is one lock to be granted.
type Want struct {
	Name     string
	Mode     sqllock.Mode
	Permits  int
	AtLeast  time.Duration
	Metadata map[string]string
	Waiter   int64 // the row by which it waits, which a grant removes; 0 if none
}

// Batch is one attempt at several locks for one session.
type Batch struct {
	Session SessionID
	Epoch   int64
	Wants   []Want

	Lane int

	// Patient waits a short while for a resource that somebody has locked in a transaction, instead of skipping it.
	Patient bool
}

// Verdict is the answer to one Want.
type Verdict uint8

// The verdicts.
const (
	Unseeded Verdict = iota // the resource has no row yet
	Busy                    // a transaction has the resource locked: it may be another attempt, or one that guards it
	Held                    // others hold it, or wait for it since before
	Granted
)

// Outcome is what became of one Want.
type Outcome struct {
	Verdict Verdict
	Ref     Ref // Granted

	// Held: one of those in the way, and the time after which the answer may change without anybody's release.
	Owner   string
	Expires time.Time
	Retry   time.Duration
}

// Freed is what became of one holder that was to be released.
type Freed uint8

// The ways a release ends.
const (
	Missing  Freed = iota // there was no such holder
	Guarded               // a guarded transaction has it locked; try again
	Released              // it is gone, or ends by itself when its AtLeast has passed
)

// Events are what a database can push.
type Events interface {
	// Watching says that from now on nothing is missed.
	Watching()

	// Woken says that a waiter is next in line.
	Woken(waiter int64)

	// Changed says that something has changed, and no more.
	Changed()

	// Interrupted says that the connection broke. If that was a crash of the database, what need not be durable is undone: releases
	// and places in line.
	Interrupted()

	// Observed tells the epoch of a session as the database has it now.
	Observed(id SessionID, epoch int64)

	// Sessions are those to watch, and a channel that is closed when they have changed.
	Sessions() (ids []SessionID, changed <-chan struct{})
}
