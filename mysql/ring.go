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

// ring wakes those who sleep, and those who do not as soon as they do. What goes wrong with that is for them to find out when they poll.
func (s *store) ring(ctx context.Context, all []listener) {
	var asleep []int64
	for _, l := range all {
		if l.asleep {
			asleep = append(asleep, l.connection)
		} else {
			s.ringing.add(l.connection)
		}
	}
	if len(asleep) == 0 {
		return
	}
	if err := s.kill(ctx, asleep); err != nil {
		s.log.Debug("sqllock: ringing failed", slog.Any("error", err))
	}
}

// kill interrupts what connections are doing. One that is gone, or belongs to another user, ends a batch with an error: then they are
// interrupted one by one.
func (s *store) kill(ctx context.Context, connections []int64) error {
	batch := make([]statement, len(connections))
	for i, id := range connections {
		batch[i] = statement{name: "ring", args: []any{id}}
	}
	err := s.run(ctx, "ring", s.pool, batch...)
	if len(batch) == 1 || number(err) != noSuchThread && number(err) != killDenied {
		return err
	}
	for _, st := range batch {
		if one := s.run(ctx, "ring", s.pool, st); number(one) != noSuchThread && one != nil {
			err = one
		}
	}
	return err
}

// ringing rings at those who were awake, until they are asleep.
type ringing struct {
	store  *store
	ctx    context.Context
	cancel context.CancelFunc

	mu      sync.Mutex
	pending map[int64]time.Time // connections, and when to give up
	running sync.WaitGroup
	closed  bool
}

// persistence is how long to ring at somebody who does not fall asleep: it is stopped, or its machine has too much to do.
const persistence = 2 * time.Second

func newRinging(s *store) *ringing {
	r := &ringing{store: s, pending: make(map[int64]time.Time)}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	return r
}

func (r *ringing) add(connection int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return
	}
	r.pending[connection] = time.Now().Add(persistence)
	if len(r.pending) == 1 {
		r.running.Go(r.run)
	}
}

func (r *ringing) run() {
	const longest = 50 * time.Millisecond
	for pause := time.Millisecond; ; pause = min(2*pause, longest) {
		select {
		case <-time.After(pause):
		case <-r.ctx.Done():
			return
		}
		if r.round() == 0 {
			return
		}
	}
}

// round rings at those who sleep by now, and returns how many are left.
func (r *ringing) round() int {
	r.mu.Lock()
	ids := make([]int64, 0, len(r.pending))
	until := make(map[int64]time.Time, len(r.pending))
	for id, end := range r.pending {
		ids, until[id] = append(ids, id), end
	}
	r.mu.Unlock()

	var all []listener
	ctx, cancel := context.WithTimeout(r.ctx, time.Second)
	defer cancel()
	err := r.store.run(ctx, "ring", r.store.pool, statement{"bell_asleep", []any{encode(ids)}, appendListener(&all)})
	var asleep []int64
	for _, l := range all {
		if l.asleep {
			asleep = append(asleep, l.connection)
		}
	}
	if err == nil && len(asleep) > 0 {
		err = r.store.kill(ctx, asleep)
	}
	if err != nil {
		r.store.log.Debug("sqllock: ringing failed", slog.Any("error", err))
	}

	r.mu.Lock()
	defer r.mu.Unlock()
	for _, id := range asleep {
		if r.pending[id].Equal(until[id]) { // else somebody has rung once more
			delete(r.pending, id)
		}
	}
	now := time.Now()
	for id, end := range r.pending {
		if now.After(end) {
			delete(r.pending, id)
		}
	}
	return len(r.pending)
}

func (r *ringing) close() {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	r.cancel()
	r.running.Wait()
}
