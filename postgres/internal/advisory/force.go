package advisory

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/sqllock/toolkit/sqllock"
)

// Messages between sessions: a letter, then what follows.
//
//	x<key>          an exclusive holder has gone, or somebody who waited to be one
//	s<key>          another holder has gone
//	f<key> <id>     give the key up, whoever holds it; the id is this request's
//	d<id> <pid>     the session of this process has
const (
	writerGone = 'x'
	otherGone  = 's'
	giveUp     = 'f'
	gaveUp     = 'd'
)

// maxForceID is how long the id of a request is at most.
const maxForceID = 13 // of 64 bits in base 36

// force is a request of this session that others give a key up.
type force struct {
	pids map[int64]bool // of those who have not
	done chan struct{}
}

// forceLook is how often a request looks for itself: holders that are not ours do not answer.
const forceLook = 50 * time.Millisecond

// ForceRelease implements [sqllock.Session]. It asks the sessions that hold the key now, and returns when each has given it up.
func (s *Session) ForceRelease(ctx context.Context, name string) error {
	key := s.cfg.Key(name)
	pids, err := s.holders(ctx, key)
	if err != nil {
		return notConfirmed(ctx, err)
	}
	if len(pids) == 0 {
		return nil
	}
	id := strconv.FormatUint(s.cfg.Rand.Uint64(), 36)
	f := &force{pids: make(map[int64]bool), done: make(chan struct{})}
	for _, pid := range pids {
		f.pids[pid] = true
	}
	request := newOp(notify, nil)
	request.message = string(giveUp) + FormatKey(key) + " " + id
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return sqllock.ErrClosed
	}
	s.forcing[id] = f
	s.submit(request)
	s.unlock()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.forcing, id)
	}()
	if err := s.await(ctx, request); err != nil || request.err != nil {
		return notConfirmed(ctx, request.err)
	}
	look := time.NewTicker(forceLook)
	defer look.Stop()
	for {
		select {
		case <-f.done:
			return nil
		case <-ctx.Done():
			return notConfirmed(ctx, fmt.Errorf("it was asked of the holders, of server processes %v; one that is stopped, inside a guarded transaction "+
				"or not of this toolkit holds on: Terminate ends sessions", f.left(s)))
		case <-look.C:
		}
		pids, err := s.holders(ctx, key)
		if err != nil && context.Cause(ctx) != nil {
			continue // to tell who has not answered
		}
		if err != nil {
			return notConfirmed(ctx, err)
		}
		present := make(map[int64]bool)
		for _, pid := range pids {
			present[pid] = true
		}
		s.mu.Lock()
		for pid := range f.pids {
			if !present[pid] {
				f.answered(pid)
			}
		}
		s.mu.Unlock()
	}
}

func notConfirmed(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		if err == nil {
			err = cause
		}
		return fmt.Errorf("postgres: %w: %w (%w)", sqllock.ErrNotConfirmed, err, cause)
	}
	return err
}

func (f *force) left(s *Session) (pids []int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for pid := range f.pids {
		pids = append(pids, pid)
	}
	return pids
}

// answered strikes off one who has given up.
func (f *force) answered(pid int64) {
	if !f.pids[pid] {
		return
	}
	delete(f.pids, pid)
	if len(f.pids) == 0 {
		close(f.done)
	}
}

// holders asks who holds a key.
func (s *Session) holders(ctx context.Context, key int64) ([]int64, error) {
	o := newOp(holders, &entry{keys: keys{key: key}})
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil, sqllock.ErrClosed
	}
	s.submit(o)
	s.unlock()
	if err := s.await(ctx, o); err != nil {
		return nil, err
	}
	if o.err != nil {
		return nil, fmt.Errorf("postgres: %w", o.err)
	}
	return o.pids, nil
}

// notified implements reader.
func (s *Session) notified(message string, own bool) {
	if message == "" {
		return
	}
	what, rest := message[0], message[1:]
	first, second, _ := strings.Cut(rest, " ")
	s.mu.Lock()
	defer s.unlock()
	if what == gaveUp {
		if f := s.forcing[first]; f != nil {
			pid, _ := strconv.ParseInt(second, 10, 64)
			f.answered(pid)
		}
		return
	}
	key, err := strconv.ParseInt(first, 10, 64)
	if err != nil {
		return // somebody else uses the channel
	}
	e := s.entries[key]
	if e == nil {
		return
	}
	switch what {
	case writerGone, otherGone:
		if !own {
			e.served()
		}
		if l := e.line; l != nil && l.after > s.now() && !own {
			l.after = 0 // one of those who were to go first has gone: it is our turn
			if e.busy != nil {
				s.unpark(e.busy)
			}
		}
		s.wake(e, what == writerGone)
	case giveUp:
		if first != FormatKey(key) || len(second) > maxForceID {
			return // not by one of us; the answer to a long id would not fit into a notification
		}
		if e.count == 0 || s.closed {
			return // the one who asks looks for themselves too
		}
		l := e.queue()
		l.forced = append(l.forced, second)
		if len(l.forced) == 1 {
			l.pause = 0
			s.submit(&op{kind: unguarded, entry: e})
		}
	}
}

// forced takes in whether a key that is to be given up is free of guarded transactions. If not, it is asked again, for as long
// as the key is held: a lock cannot change hands inside a transaction that relies on it.
func (s *Session) forced(o *op) {
	e := o.entry
	l := e.line
	if l == nil || len(l.forced) == 0 {
		return
	}
	if e.count > 0 && (o.err != nil || o.code == 0) {
		l.pause = min(max(2*l.pause, shortestPause), longestPause)
		s.cfg.Clock.AfterFunc(l.pause, func() {
			s.mu.Lock()
			defer s.unlock()
			if len(l.forced) > 0 {
				s.submit(&op{kind: unguarded, entry: e})
			}
		})
		return
	}
	reason := sqllock.ErrForced
	for h := e.holds; h != nil; h = h.next {
		if !h.leaving {
			h.ended.CompareAndSwap(nil, &reason)
			s.losses = append(s.losses, loss{h.req.Holder, reason})
			s.giveBack(h)
		}
	}
	l.acknowledge = append(l.acknowledge, l.forced...)
	l.forced = nil
	s.acknowledge(e)
}

// acknowledge tells those who have asked for a key that this session does not hold it any more.
func (s *Session) acknowledge(e *entry) {
	if e.count > 0 || e.line == nil || s.link == nil {
		return
	}
	for _, id := range e.line.acknowledge {
		s.submit(&op{kind: notify, message: fmt.Sprintf("%c%s %d", gaveUp, id, s.link.pid)})
	}
	e.line.acknowledge = nil
}
