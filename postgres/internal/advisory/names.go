package advisory

import (
	"context"
	"strconv"
	"time"

	"github.com/sqllock/toolkit/sqllock"
)

// Named is a key and one of its names.
type Named struct {
	Key  int64
	Name string
}

// name writes down the names of keys that have been held or waited for since the last time, for others who list locks. Those that are
// locked for an instant are of no interest to them, and would fill the table.
func (s *Session) name() {
	if s.link.sequence == 0 || s.cfg.Name == nil {
		return
	}
	var seen []Named
	for _, e := range s.entries {
		if name := e.name(); !e.named && e.seen && name != "" && len(seen) < maxBatch {
			e.named = true
			seen = append(seen, Named{e.key, name})
		}
		e.seen = true
	}
	if len(seen) == 0 {
		return
	}
	s.dials.Go(func() {
		ctx, cancel := context.WithTimeout(s.life, s.cfg.limit())
		defer cancel()
		if err := s.cfg.Name(ctx, seen); err != nil {
			s.cfg.Logger.Debug("sqllock: names of locks not written", "error", err)
		}
	})
}

// annotate adds what only this session knows to a list of locks.
func (s *Session) annotate(infos []sqllock.LockInfo) []sqllock.LockInfo {
	if s.link == nil {
		return infos
	}
	next := make(map[*entry]*Hold) // so that each permit gets a hold of its own
	for i := range infos {
		info := &infos[i]
		if info.PID != int64(s.link.pid) {
			continue
		}
		key, err := strconv.ParseInt(info.Key, 10, 64)
		e := s.entries[key]
		if err != nil || e == nil {
			continue
		}
		if info.Waiting {
			if e.line != nil && len(e.line.waiters) > 0 {
				w := e.line.waiters[0].req
				info.Mode, info.Permits = w.Mode, w.Permits
			}
			continue
		}
		h := next[e]
		if h == nil {
			h = e.holds
		}
		if h != nil {
			info.Token, info.Since, info.Permits = h.token, time.Now().Add(h.since-s.now()), h.req.Permits
			next[e] = h.next
		}
	}
	return infos
}
