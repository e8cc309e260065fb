//go:build linux

package torture

import (
	"bufio"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/sqllock/toolkit/sqllock"
)

// clientEnv makes the test binary a client process; its value is an assignment.
const clientEnv = "SQLLOCK_TORTURE_CLIENT"

// What a client is told, one word a line. The end of its input ends it too, without manners.
const (
	cmdSilence = "silence" // lose what arrives on all connections, and open none
	cmdIsolate = "isolate" // open no connections
	cmdRestore = "restore"
	cmdFreeze  = "freeze" // stop in the middle of a guarded transaction, if there is one soon
	cmdFinish  = "finish" // nothing will go wrong any more: take every lock once, close, and end
)

// bound is how long a waiter may have to wait when nothing is wrong, with everybody else in front of it: a TTL or a
// SessionTimeout of holders that died just now, the turns of the others, and a machine that is busy with other tests.
const bound = 30 * time.Second

// soon is how long a client looks for a good moment to stop.
const soon = 500 * time.Millisecond

// A name is something to lock.
type name struct {
	ID      int
	Kind    string // of locks that are asked for: kindExclusive, kindShared or kindPermits
	Permits int
}

const (
	kindExclusive = "exclusive"
	kindShared    = "readers and writers"
	kindPermits   = "permits"
)

func (n name) key() string { return fmt.Sprintf("torture %d", n.ID) }

// assignment is what a client process does.
type assignment struct {
	Process int
	Kind    string // of backend
	Locks   string // the DSN
	Data    string
	Names   []name
	Workers int
	Seed    uint64
	History string // the file
}

// Main is for TestMain: it never returns in a client process, nor in one of proxies.
func Main() {
	var err error
	if text := os.Getenv(proxyEnv); text != "" {
		err = runProxies(text, os.Stdin, os.Stdout)
	} else if text := os.Getenv(clientEnv); text != "" {
		var a assignment
		if err = json.Unmarshal([]byte(text), &a); err == nil {
			err = a.run(os.Stdin)
		}
	} else {
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// client is the process at work.
type client struct {
	assignment
	*party
	*recorder
	network network
	ids     atomic.Int64 // of holds and transactions
	freeze  atomic.Int64 // until when it stops; 0: it does not
}

func (a assignment) run(commands io.Reader) error {
	r, err := newRecorder(a.Process, a.History)
	if err != nil {
		return err
	}
	c := &client{assignment: a, recorder: r}
	c.party, err = open(a.Kind, fmt.Sprintf("torture %d", a.Process), database{a.Locks, c.network.dial}, database{a.Data, c.network.dial})
	if err != nil {
		return err
	}
	ctx, finish := context.WithCancel(context.Background())
	defer finish()
	var workers sync.WaitGroup
	for i := range a.Workers {
		w := worker{client: c, random: rand.New(rand.NewPCG(a.Seed, uint64(i)))}
		workers.Go(func() {
			for ctx.Err() == nil {
				w.turn(ctx)
			}
			w.everything()
		})
	}
	lines := bufio.NewScanner(commands)
	for lines.Scan() {
		switch lines.Text() {
		case cmdSilence:
			err = c.network.silence()
		case cmdIsolate:
			c.network.isolate()
		case cmdRestore:
			err = c.network.restore()
		case cmdFreeze:
			c.freeze.Store(int64(now() + soon))
		case cmdFinish:
			finish()
			workers.Wait()
			_ = c.close(context.Background()) // what it could not say to the database ends with its leases
			c.record(Event{What: evEnd})
			return c.end()
		}
		if err != nil {
			return err
		}
	}
	return errors.New("torture: the test has ended before its client")
}

// worker is one goroutine that takes locks.
type worker struct {
	*client
	random *rand.Rand
}

func (w worker) chance(percent int) bool { return w.random.IntN(100) < percent }

// upTo is a random time.
func (w worker) upTo(d time.Duration) time.Duration { return time.Duration(w.random.Int64N(int64(d))) }

// turn takes one lock, or leaves it.
func (w worker) turn(ctx context.Context) {
	_ = pause(ctx, w.upTo(40*time.Millisecond))
	n := w.Names[w.random.IntN(len(w.Names))]
	patience := bound
	switch {
	case w.chance(20):
		patience = 0 // a single attempt
	case w.chance(30):
		patience = w.upTo(200 * time.Millisecond)
	}
	switch {
	case w.chance(1):
		w.force(n)
	case n.Kind == kindExclusive && w.chance(10):
		w.transactionLock(n, patience)
	default:
		if l := w.acquire(n, patience); l != nil {
			w.hold(l, n)
		}
	}
}

// everything takes every lock, now that nothing is wrong any more, and has to get it.
func (w worker) everything() {
	for _, n := range w.Names {
		for until := now() + bound; ; {
			l := w.acquire(n, bound)
			if l != nil {
				w.guarded(l, n, 0)
				w.release(l)
				break
			}
			// The first attempt may find a connection that has died of the last fault.
			if now() > until {
				w.record(Event{What: evAlarm, Reason: fmt.Sprintf("name %d is not to be had %v after the last fault", n.ID, bound)})
				break
			}
			_ = pause(context.Background(), 20*time.Millisecond)
		}
	}
}

// held is a lock with its number.
type held struct {
	*sqllock.Lock
	id int
}

// acquire returns nil if the lock was not granted.
func (w worker) acquire(n name, patience time.Duration) *held {
	id := int(w.ids.Add(1))
	e := Event{What: evAcquire, Hold: id, Name: n.ID, Mode: sqllock.ModeExclusive.String(), Patience: patience}
	var opts []sqllock.Option
	switch {
	case n.Kind == kindShared && w.chance(70):
		e.Mode = sqllock.ModeShared.String()
		opts = append(opts, sqllock.Shared())
	case n.Kind == kindPermits && w.chance(85):
		e.Mode, e.Permits = sqllock.ModePermit.String(), n.Permits
		opts = append(opts, sqllock.Permits(n.Permits))
	}
	w.record(e)
	var lock *sqllock.Lock
	var err error
	if patience == 0 {
		ctx, cancel := context.WithTimeout(context.Background(), bound)
		defer cancel()
		lock, err = w.locks.TryAcquire(ctx, n.key(), opts...)
	} else {
		lock, err = w.locks.Acquire(context.Background(), n.key(), append(opts, sqllock.Wait(patience))...)
	}
	switch {
	case err == nil:
		w.record(Event{What: evGranted, Hold: id, Name: n.ID, Token: lock.Token()})
		return &held{lock, id}
	case errors.Is(err, sqllock.ErrNotAcquired):
		w.record(Event{What: evRefused, Hold: id, Name: n.ID, Reason: err.Error()})
	default:
		w.record(Event{What: evFailed, Hold: id, Name: n.ID, Reason: err.Error()})
		for _, must := range []error{sqllock.ErrUnsupported, sqllock.ErrInvalid, sqllock.ErrSchema, sqllock.ErrRefused, sqllock.ErrClosed} {
			if errors.Is(err, must) {
				w.record(Event{What: evAlarm, Reason: err.Error()})
			}
		}
	}
	return nil
}

// hold works under a lock: usually for milliseconds, sometimes for longer than a TTL. Meanwhile it looks at the lock again and again, because
// the work may hang.
func (w worker) hold(l *held, n name) {
	var watch sync.WaitGroup
	done := make(chan struct{})
	watch.Go(func() {
		for w.believes(l, n) {
			select {
			case <-done:
				return
			case <-time.After(30 * time.Millisecond):
			}
		}
	})
	w.work(l, n)
	close(done)
	watch.Wait()
	w.believes(l, n)
	w.release(l)
}

// work does a few transactions, with pauses.
func (w worker) work(l *held, n name) {
	for range w.random.IntN(4) {
		if !w.believes(l, n) {
			break
		}
		work := w.upTo(5 * time.Millisecond)
		if w.chance(1) {
			work = w.upTo(2 * ttl)
		}
		w.guarded(l, n, work)
		idle := w.upTo(10 * time.Millisecond)
		if w.chance(1) {
			idle = w.upTo(3 * ttl)
		}
		select {
		case <-l.Done():
		case <-time.After(idle):
		}
	}
}

// believes asks the lock whether it is held, and writes down since when it must have been, or that it is not.
func (w worker) believes(l *held, n name) bool {
	at := now()
	if err := l.Err(); err != nil {
		w.record(Event{What: evLost, Hold: l.id, Name: n.ID, Reason: err.Error()})
		return false
	}
	w.record(Event{What: evBelieves, At: at, Hold: l.id, Name: n.ID})
	return true
}

func (w worker) release(l *held) {
	w.record(Event{What: evRelease, Hold: l.id})
	err := l.Release(context.Background())
	switch {
	case err == nil:
		w.record(Event{What: evReleased, Hold: l.id})
	case errors.Is(err, sqllock.ErrLost):
		w.record(Event{What: evNotHeld, Hold: l.id, Reason: err.Error()})
	default:
		w.record(Event{What: evUnreleased, Hold: l.id, Reason: err.Error()})
	}
}

// force takes a lock away from whoever has it.
func (w worker) force(n name) {
	id := int(w.ids.Add(1))
	w.record(Event{What: evForce, Hold: id, Name: n.ID})
	ctx, cancel := context.WithTimeout(context.Background(), ttl)
	defer cancel()
	_ = w.locks.ForceRelease(ctx, n.key()) // it may be refused, and still have happened
	w.record(Event{What: evForced, Hold: id, Name: n.ID})
}

// levels are those at which a guarded transaction is right.
var levels = []sql.IsolationLevel{sql.LevelDefault, sql.LevelReadCommitted, sql.LevelRepeatableRead}

// txTimeout ends transactions whose connection does not answer.
const txTimeout = 10 * time.Second

// guarded does a transaction that the lock guards.
func (w worker) guarded(l *held, n name, work time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), txTimeout)
	defer cancel()
	id := int(w.ids.Add(1))
	w.record(Event{What: evBegin, Hold: l.id, Tx: id, Name: n.ID, Mode: l.Mode().String()})
	halfway := func() {
		if w.stopHere() {
			w.believes(l, n) // before anything else can have noticed that time has passed
		}
	}
	v := visit{process: w.Process, tx: id, name: n.ID, mode: l.Mode(), token: l.Token(), work: work, halfway: halfway}
	level := sql.LevelDefault
	if w.Kind != sqliteTable { // which has one level only
		level = levels[w.random.IntN(len(levels))]
	}
	if v.mode == sqllock.ModeShared {
		level = min(level, sql.LevelReadCommitted) // a snapshot would hide a writer from the reader
	}
	tx, err := w.db.BeginTx(ctx, &sql.TxOptions{Isolation: level})
	if err != nil {
		w.aborted(id, err)
		return
	}
	if w.chance(30) {
		halfway()
	}
	if err := w.guard(ctx, tx, l.Lock); err != nil {
		_ = tx.Rollback()
		w.aborted(id, err)
		return
	}
	w.record(Event{What: evGuarded, Tx: id})
	value, err := v.run(ctx, tx)
	if err != nil {
		_ = tx.Rollback()
		w.aborted(id, err)
		return
	}
	w.record(Event{What: evCommit, Tx: id, Value: value})
	if err := tx.Commit(); err != nil {
		w.record(Event{What: evUnknown, Tx: id, Reason: err.Error()})
		return
	}
	w.record(Event{What: evCommitted, Tx: id})
}

// stopHere stops the process, if it was told to, at a moment that matters, and says whether it did.
func (w worker) stopHere() bool {
	until := w.freeze.Load()
	if int64(now()) >= until || !w.freeze.CompareAndSwap(until, 0) {
		return false
	}
	return syscall.Kill(syscall.Getpid(), syscall.SIGSTOP) == nil
}

func (w worker) aborted(id int, err error) {
	if errors.Is(err, errBesideAReader) {
		w.record(Event{What: evAlarm, Reason: fmt.Sprintf("transaction %d: %v", id, err)})
	}
	w.record(Event{What: evAborted, Tx: id, Reason: err.Error()})
}

// transactionLock does a transaction that locks the name for itself: LockTx, or WithTx.
func (w worker) transactionLock(n name, patience time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), min(max(patience, time.Second), txTimeout))
	defer cancel()
	id := int(w.ids.Add(1))
	v := visit{process: w.Process, tx: id, name: n.ID, mode: sqllock.ModeExclusive, work: w.upTo(5 * time.Millisecond), halfway: func() { w.stopHere() }}
	w.record(Event{What: evBegin, Tx: id, Name: n.ID, Mode: v.mode.String()})
	if w.withTx != nil && (w.lockTx == nil || w.chance(50)) {
		reached := false
		err := w.withTx(ctx, n.key(), func(tx *sql.Tx) error {
			w.record(Event{What: evGuarded, Tx: id})
			value, err := v.run(ctx, tx)
			if err == nil {
				reached = true
				w.record(Event{What: evCommit, Tx: id, Value: value})
			}
			return err
		})
		switch {
		case !reached:
			w.aborted(id, err)
		case err != nil: // of the commit, or of the release after it
			w.record(Event{What: evUnknown, Tx: id, Reason: err.Error()})
		default:
			w.record(Event{What: evCommitted, Tx: id})
		}
		return
	}
	tx, err := w.db.BeginTx(ctx, &sql.TxOptions{})
	if err != nil {
		w.aborted(id, err)
		return
	}
	if err := w.lockTx(ctx, tx, n.key()); err != nil {
		_ = tx.Rollback()
		w.aborted(id, err)
		return
	}
	w.record(Event{What: evGuarded, Tx: id})
	value, err := v.run(ctx, tx)
	if err != nil {
		_ = tx.Rollback()
		w.aborted(id, err)
		return
	}
	w.record(Event{What: evCommit, Tx: id, Value: value})
	if err := tx.Commit(); err != nil {
		w.record(Event{What: evUnknown, Tx: id, Reason: err.Error()})
		return
	}
	w.record(Event{What: evCommitted, Tx: id})
}
