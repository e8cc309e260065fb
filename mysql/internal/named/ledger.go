package named

import (
	"context"
	"time"

	"github.com/sqllock/toolkit/sqllock"
)

// Ledger keeps the tokens of keys, in a table.
type Ledger interface {
	// Check finds out whether the table is there.
	Check(ctx context.Context) error

	// Count raises the token of each key by one, if the session still holds it: entries of keys that it does not hold any more stay as they
	// were. It waits for nobody: where a transaction is guarded with the present token, the entry says so. What it returns is durable.
	Count(ctx context.Context, keys []Counted) error
}

// Counted is one key in a ledger, and what became of it.
type Counted struct {
	Key, Name string
	Marker    string // of the session that holds it

	Token   int64 // 0: it was not raised
	Guarded bool
}

// The pauses before the next attempt at the token of a key that is ours, but for a transaction that a former holder has guarded.
const (
	shortestPause = time.Millisecond
	longestPause  = 50 * time.Millisecond
)

// detailGuarded is what stands in the way then, for people.
const detailGuarded = "a transaction that a former holder has guarded"

// count gets the token of a key that l has been granted.
func (s *Session) count(l *link, o *op) {
	o.link = l
	s.tokens = append(s.tokens, o)
	if !s.counting {
		s.counting = true
		s.work.Go(s.countAll)
	}
}

func (s *Session) countAll() {
	for {
		s.mu.Lock()
		batch := s.tokens
		if len(batch) > maxBatch {
			batch = batch[:maxBatch]
		}
		s.tokens = s.tokens[len(batch):]
		if len(batch) == 0 {
			s.tokens, s.counting = nil, false
			s.unlock()
			return
		}
		keys := make([]Counted, len(batch))
		for i, o := range batch {
			name := ""
			if o.req != nil {
				name = o.req.Name
			} else if len(o.entry.waiters) > 0 {
				name = o.entry.waiters[0].req.Name
			}
			keys[i] = Counted{Key: o.key, Name: name, Marker: o.link.marker}
		}
		s.mu.Unlock()
		ctx, cancel := context.WithTimeout(s.life, s.cfg.limit())
		err := s.cfg.Ledger.Count(ctx, keys)
		cancel()
		s.mu.Lock()
		for i, o := range batch {
			s.counted(o, keys[i], err)
		}
		s.unlock()
	}
}

// counted takes in what became of a token.
func (s *Session) counted(o *op, c Counted, err error) {
	l := o.link
	if dead := l.err(); dead != nil {
		if o.kind == attempt {
			s.conclude(o, nil, dead)
		}
		return // what has waited: see end
	}
	switch {
	case err != nil:
		s.doubt(l, o, err)
	case c.Token > 0 && o.kind == attempt:
		s.conclude(o, s.grant(l, o.entry, o.req, c.Token), nil)
	case c.Token > 0 && len(o.entry.waiters) == 0:
		s.doubt(l, o, nil)
	case c.Token > 0:
		o.token = c.Token
		s.inherit(l, o)
	case !c.Guarded:
		s.doubt(l, o, sqllock.ErrEvicted)
	case o.kind == attempt && !o.polls:
		s.doubt(l, o, &sqllock.HeldError{Name: o.req.Name, Detail: detailGuarded})
	case len(o.entry.waiters) == 0:
		s.doubt(l, o, nil)
	default:
		o.pause++
		s.cfg.Clock.AfterFunc(min(shortestPause<<min(o.pause, 10), longestPause), func() {
			s.mu.Lock()
			defer s.unlock()
			switch {
			case l.dead.Load() != nil:
				s.counted(o, c, nil)
			case s.closed || len(o.entry.waiters) == 0:
				s.doubt(l, o, nil)
			default:
				s.count(l, o)
			}
		})
	}
}
