package main

import (
	"context"
	"strings"
	"time"
)

// A contestant is a way to take locks, or to do the I/O that every lock has to do.
type contestant struct {
	name  string
	camp  camp
	on    kind
	gives gives

	// Compared with is whom the ratios are with: floor where the floors take part, hand elsewhere. Floors have neither.
	floor, hand string

	// poll is the longest pause between two looks of somebody who waits; 0 if it is told.
	poll time.Duration

	// only names the measures in which it takes part; nil for all that it can.
	only []string

	open func(ctx context.Context, address string, o options) (locker, error)

	// stand and guard are nil where there are no elections, and no guards.
	stand func(ctx context.Context, address string, o options) (candidate, error)
	guard func(ctx context.Context, address string) (transactor, error)
}

// camp is whose contestant it is.
type camp string

const (
	floors camp = "floor"
	byHand camp = "by hand"
	us     camp = "sqllock"
	peers  camp = "others"
)

// options are what a measure asks of every contestant.
type options struct {
	TTL   time.Duration // of leases, and of sessions that end with time
	Conns int           // the largest pool, where there is one
	Locks int           // how many are held at once, where that has to be said beforehand
}

// A locker is one process's way to its locks. It is safe for concurrent use.
type locker interface {
	// Lock waits until name is locked.
	Lock(ctx context.Context, name string) (unlock func(context.Context) error, err error)
	Close() error
}

// A candidate takes part in an election. It is told to resign by another goroutine.
type candidate interface {
	// Campaign tells each election of this candidate, until ctx ends.
	Campaign(ctx context.Context, elected func()) error
	Resign(ctx context.Context) error
}

// A transactor holds a lock, and does a small transaction under it, with and without the guard.
type transactor interface {
	Transact(ctx context.Context, guarded bool) error
	Close() error
}

// gives is what the holder of a lock gets, and nothing is what floors give: figures of those who give different things are not the same figures.
type gives struct {
	ends   string // what ends it but its release
	token  bool   // each grant has a fencing token
	guard  bool   // a transaction can be made to depend on it
	byUser bool   // whoever holds it has to renew it
}

const (
	withConnection = "session"       // with the connection
	withTime       = "lease"         // with its time, if it is not renewed
	withBoth       = "session lease" // with the time of a session, which the client renews for all its locks
)

func (g gives) String() string {
	if g == (gives{}) {
		return "no lock"
	}
	all := []string{g.ends}
	if g.byUser {
		all = append(all, "renewed by the caller")
	}
	if g.token {
		all = append(all, "token")
	}
	if g.guard {
		all = append(all, "guard")
	}
	return strings.Join(all, ", ")
}

// contestants is everybody, by server: first the floors, then what people write, then ours, then others.
func contestants() []contestant {
	var all []contestant
	for _, family := range [][]contestant{
		postgresFloors, postgresByHand, postgresOurs, gooseLockers,
		mysqlFloors, mysqlByHand, mysqlOurs,
		sqliteFloors, sqliteOurs,
		redisContestants, etcdContestants, zookeeperContestants,
	} {
		all = append(all, family...)
	}
	return all
}
