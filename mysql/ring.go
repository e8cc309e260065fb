package mysql

import (
	"context"
	"database/sql"
	"log/slog"
	"sync"
	"time"
)

// listener is the connection of a bell that somebody has to ring.
type listener struct {
	connection int64
	asleep     bool
}

// wake looks for those who are next in line for what @freed says.
func wake(to *[]listener) statement { return statement{"wake", nil, appendListener(to)} }

func appendListener(to *[]listener) func(*sql.Rows) error {
	return func(r *sql.Rows) error {
		var l listener
		err := r.Scan(&l.connection, &l.asleep)
		*to = append(*to, l)
		return err
	}
}

// kill interrupts what a connection is doing.
func (s *store) kill(ctx context.Context, connection int64) error {
	err := s.run(ctx, "ring", s.pool, statement{name: "ring", args: []any{connection}})
	if number(err) == noSuchThread {
		return nil // it will look when it is back
	}
	return err
}

// ringing rings the bells of others: those who sleep at once, the others as soon as they do. What goes wrong with that is for them to find
// out when they poll. Nobody waits for it, and each bell is rung by one goroutine: MariaDB lets a KILL that comes when its victim is
// just waking up, or falling asleep, hang for a moment.
type ringing struct {
	store  *store
	ctx    context.Context
	cancel context.CancelFunc

	mu      sync.Mutex
	closed  bool
	again   map[int64]bool // connections that are being rung, and whether they are to be once more
	running sync.WaitGroup
}

// persistence is how long to ring at somebody who does not fall asleep: it is stopped, or its machine has too much to do.
const persistence = 2 * time.Second

func newRinging(s *store) *ringing {
	r := &ringing{store: s, again: make(map[int64]bool)}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	return r
}

func (r *ringing) ring(all []listener) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return
	}
	for _, l := range all {
		if _, underWay := r.again[l.connection]; underWay {
			r.again[l.connection] = true
			continue
		}
		r.again[l.connection] = false
		r.running.Go(func() {
			for r.persist(l) {
				l.asleep = false // as far as we know
			}
		})
	}
}

// persist rings once, and tells whether to do it once more.
func (r *ringing) persist(l listener) bool {
	const longest = 50 * time.Millisecond
	end := time.Now().Add(persistence)
	var err error
	for pause := time.Millisecond; !l.asleep && err == nil && time.Now().Before(end); pause = min(2*pause, longest) {
		select {
		case <-time.After(pause):
		case <-r.ctx.Done():
			return false
		}
		l.asleep, err = r.asleep(l.connection)
	}
	if l.asleep {
		ctx, cancel := context.WithTimeout(r.ctx, 2*persistence)
		err = r.store.kill(ctx, l.connection)
		cancel()
	}
	if err != nil {
		r.store.log.Debug("sqllock: ringing failed", slog.Any("error", err))
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	again := r.again[l.connection] && r.ctx.Err() == nil
	if r.again[l.connection] = false; !again {
		delete(r.again, l.connection)
	}
	return again
}

func (r *ringing) asleep(connection int64) (bool, error) {
	ctx, cancel := context.WithTimeout(r.ctx, persistence)
	defer cancel()
	var l listener
	err := r.store.run(ctx, "ring", r.store.pool, statement{"bell_asleep", []any{connection, connection}, into(&l.connection, &l.asleep)})
	return l.asleep, err
}

// close lets those be rung for whom the last release has made room, but does not wait for long.
func (r *ringing) close() {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	late := time.AfterFunc(time.Second, r.cancel)
	r.running.Wait()
	late.Stop()
	r.cancel()
}
