package advisory

import (
	"math/rand/v2"
	"runtime"
	"time"

	"github.com/sqllock/toolkit/sqllock"
)

// maxBatch is how many ops travel together at most, and gathering up to how many wait for each other. Where a round trip takes so much longer than
// the work that it carries, all do, until so many turns of the scheduler have brought nobody.
const (
	maxBatch  = 1024
	gathering = 32
	away      = 500 * time.Microsecond
	farTurns  = 4
	opWork    = 6 * time.Microsecond // twice what one was seen to take among many, on both sides
)

// depart makes a batch of what has gathered, unless one is on its way.
func (s *Session) depart() *batch {
	if s.flying != nil {
		return nil
	}
	if len(s.leaving)+len(s.entering) < s.gather {
		return nil
	}
	s.gather = 0
	gathered := len(s.leaving)+len(s.entering)+len(s.asking) > 0
	if s.link == nil {
		if gathered {
			s.dial()
		}
		return nil
	}
	due := s.check.due()
	if !due && (s.check.blocks() || !gathered && !s.ping) {
		return nil
	}
	b := &batch{link: s.link, sent: s.now()}
	switch {
	case due:
		s.check.add(b)
	case gathered:
		s.load(b)
	default:
		b.ping = true
	}
	if s.link.proxied {
		b.identify()
	}
	if s.flying, s.ping = b, false; !b.ping {
		s.busy = b.sent
	}
	s.link.flying.Store(b)
	return b
}

// load takes ops into a batch, those of one kind into one statement where there is one for many.
func (s *Session) load(b *batch) {
	var delists, enlists, unlocks, unshares, locks, shares, permits []*op
	for _, o := range take(&s.leaving) {
		if l := o.entry.line; o.kind == delist || o.last && l != nil && l.enlisted && len(l.waiters) == 0 {
			o.intend = l.intent
			delists = append(delists, o)
		}
		switch {
		case o.kind == delist:
		case o.hold.req.Mode == sqllock.ModeExclusive:
			unlocks = append(unlocks, o)
		default:
			unshares = append(unshares, o)
		}
	}
	for _, o := range take(&s.entering) {
		if o.tells {
			o.enlist = true
			enlists = append(enlists, o)
			continue
		}
		l := o.entry.line
		early := o.req.Waits && l != nil && l.contended > b.sent
		o.enlist = (o.waiter != nil || early) && !l.enlisted
		if w := o.waiter; w != nil {
			o.intend = !o.entry.line.intent && o.req.Mode == sqllock.ModeExclusive
			o.yields = w.yields
		}
		if o.enlist || o.intend {
			enlists = append(enlists, o)
		}
		switch o.req.Mode {
		case sqllock.ModeShared:
			shares = append(shares, o)
		case sqllock.ModePermit:
			permits = append(permits, o)
		default:
			locks = append(locks, o)
		}
	}
	b.add(changing, "delist", delists...)
	b.unmark(unlocks)
	b.addOneOrMany("unlock", unlocks)
	b.add(changing, "unshare", unshares...)
	b.add(changing, "enlist", enlists...)
	b.addOneOrMany("lock", locks)
	b.add(changing, "share", shares...)
	for _, o := range permits {
		o.slots = o.entry.freeSlots(o.req.Permits, rand.New(s.cfg.Rand).IntN(o.req.Permits))
		b.add(changing, "permit", o)
	}
	for _, o := range take(&s.asking) {
		b.add(asking, questions[o.kind], o)
	}
}

// questions are the statements of ops that change nothing that others can see.
var questions = map[kind]string{unguarded: "unguarded", notify: "notify", holders: "holders", mark: "mark"}

func take(from *[]*op) []*op {
	ops := *from
	if len(ops) <= maxBatch {
		*from = nil
		return ops
	}
	*from = ops[maxBatch:]
	return ops[:maxBatch:maxBatch]
}

// arrived takes in the answers to all of a batch, read by the caller that waits for own, if any. It reports whether that one has read enough.
// An error ends the session.
func (s *Session) arrived(l *link, b *batch, now time.Duration, own *op) (enough bool, err error) {
	s.mu.Lock()
	if s.link != l || s.flying != b {
		s.mu.Unlock()
		return false, nil // the connection is closed
	}
	s.flying, s.at = nil, now
	l.flying.Store(nil)
	s.trip += (now - b.sent - s.trip) / 8
	if err := s.check.arrived(s, b); err != nil {
		s.mu.Unlock()
		return false, err
	}
	for _, calls := range b.groups {
		for _, c := range calls {
			for _, o := range c.ops {
				switch {
				case c.name == "enlist":
					s.enlisted(o)
				case c.name == "delist" && o.kind == release:
					o.entry.line.enlisted, o.entry.line.intent = false, false
				default:
					s.settle(o)
				}
			}
		}
	}
	if n := len(s.finished); own == nil && n > 1 && (n <= gathering || s.far(n)) {
		s.gatherAnswered()
	}
	box := s.pack()
	needed := s.flying != nil || s.attentive()
	switch {
	case own == nil:
		enough = !needed
	case own.settled:
		enough = true
		if needed {
			box.resume = l
		}
	}
	if !needed {
		l.reading = !enough
	}
	s.mu.Unlock()
	box.deliver()
	return enough, nil
}

// gatherAnswered lets those who have just been answered say what they want next, so that it travels together: what a batch costs does not depend
// much on how many share it. Whoever is the last of them sends it, at the latest the reader when its turn has come again.
// Larger batches leave at once: then the server is busy while the others gather. But not where the way there takes longer than the work: who
// misses a batch waits for its return.
func (s *Session) gatherAnswered() {
	finished := s.finished
	s.finished = nil
	s.gather = len(finished) + len(s.leaving) + len(s.entering)
	s.mu.Unlock()
	outbox{finished: finished}.deliver()
	runtime.Gosched()
	s.mu.Lock()
	for turn, gathered := 0, 0; turn < farTurns && s.gather > 0 && s.far(len(finished)); turn++ {
		if now := len(s.leaving) + len(s.entering); now > gathered {
			gathered, turn = now, 0
		}
		s.mu.Unlock()
		runtime.Gosched()
		s.mu.Lock()
	}
	s.gather = 0
}

// far tells whether the way to the server takes longer than the work of a batch of n.
func (s *Session) far(n int) bool { return s.trip > away+time.Duration(n)*opWork }
