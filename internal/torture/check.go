//go:build linux

package torture

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/sqllock/toolkit/sqllock"
)

// A check looks for one kind of violation, and says what it has found.
type check struct {
	claim string
	find  func(h *history) []string
}

// checks are all but that of linearizability.
var checks = []check{
	{"no client has seen what must not be", func(h *history) []string { return h.alarms }},
	{"guarded transactions never interleave", guardedNeverInterleave},
	{"writes of a name follow each other", writesFollowEachOther},
	{"what was acknowledged is there, and what was rolled back is not", acknowledgedIsThere},
	{"a later holder's token is larger", tokensGrow},
	{"who believes to hold a lock is alone with it", believersAreAlone},
	{"no loss is silent", noLossIsSilent},
	{"who waits is served", waitersAreServed},
}

var (
	exclusive = sqllock.ModeExclusive.String()
	shared    = sqllock.ModeShared.String()
	permit    = sqllock.ModePermit.String()
)

// exclude says whether two modes exclude each other. Permits do beyond their number only.
func exclude(a, b string) bool { return a == exclusive || a != b }

// span is a time for which somebody certainly had a lock.
type span struct {
	who      string
	name     int
	mode     string
	permits  int // of permit: how many there are
	from, to time.Duration
}

// overlaps finds spans that exclude each other and have a moment in common, and moments with more permits than there are.
func overlaps(spans []span) []string {
	var found []string
	slices.SortFunc(spans, func(a, b span) int { return cmp.Or(cmp.Compare(a.name, b.name), cmp.Compare(a.from, b.from)) })
	var open []span
	for _, s := range spans {
		open = slices.DeleteFunc(open, func(o span) bool { return o.name != s.name || o.to < s.from })
		permits := 0
		for _, o := range open {
			if exclude(o.mode, s.mode) {
				found = append(found, fmt.Sprintf("%s (%v to %v) beside %s (%v to %v)", s.who, s.from, s.to, o.who, o.from, o.to))
			} else if s.mode == permit {
				permits++
			}
		}
		if s.mode == permit && permits+1 > s.permits {
			found = append(found, fmt.Sprintf("%s (from %v) is number %d of %d", s.who, s.from, permits+1, s.permits))
		}
		open = append(open, s)
	}
	return found
}

// guardedNeverInterleave compares transactions that have committed, from the return of their Guard to the call of their commit. In
// that time nobody else can have been granted the lock, whatever happened to whom.
func guardedNeverInterleave(h *history) []string {
	var spans []span
	for _, t := range h.txs {
		if t.commit == never || !t.committed && !t.found {
			continue
		}
		s := span{who: t.String(), name: t.name, mode: t.mode, from: t.guarded, to: t.commit}
		if t.hold != nil {
			s.permits = t.hold.permits
		}
		spans = append(spans, s)
	}
	return overlaps(spans)
}

// writesFollowEachOther looks at the log that the database kept: writers of a name must have read what the one before wrote, and
// their tokens never go down.
func writesFollowEachOther(h *history) []string {
	var found []string
	byName := make(map[int][]written)
	for _, w := range h.ledger.Written {
		if w.Value != 0 {
			byName[w.Name] = append(byName[w.Name], w)
		}
	}
	for _, n := range h.names {
		lines := byName[n.ID]
		slices.SortFunc(lines, func(a, b written) int { return cmp.Compare(a.Value, b.Value) })
		var token int64
		for i, w := range lines {
			if w.Value != int64(i)+1 {
				found = append(found, fmt.Sprintf("name %d: the write with number %d has the value %d (transaction %d of process %d)", n.ID, i+1, w.Value, w.Tx, w.Process))
				break
			}
			if w.Token != 0 && w.Token < token {
				found = append(found, fmt.Sprintf("name %d: value %d was written with token %d, after one with %d", n.ID, w.Value, w.Token, token))
			}
			token = max(token, w.Token)
		}
		if last := h.ledger.Values[n.ID]; last != int64(len(lines)) {
			found = append(found, fmt.Sprintf("name %d: %d writes were committed, and the value is %d", n.ID, len(lines), last))
		}
	}
	return found
}

// acknowledgedIsThere compares what clients were told with the log.
func acknowledgedIsThere(h *history) []string {
	var found []string
	for _, t := range h.txs {
		switch {
		case t.mode == shared: // leaves no line
		case t.committed && !t.found:
			found = append(found, fmt.Sprintf("%s was committed, and has left nothing", t))
		case t.found && !t.committed && !t.unknown && t.ended != never:
			found = append(found, fmt.Sprintf("%s was rolled back, and has left its line", t))
		}
	}
	return found
}

// tokensGrow compares each grant with those that were answered before it was asked for: it is later than they.
func tokensGrow(h *history) []string {
	var found []string
	for _, n := range h.names {
		var asked, answered []*hold
		tokens := make(map[int64]*hold)
		for _, l := range h.holds {
			if l.name != n.ID || !l.granted {
				continue
			}
			if other := tokens[l.token]; other != nil || l.token <= 0 {
				found = append(found, fmt.Sprintf("%s has no token of its own", l))
			}
			tokens[l.token] = l
			asked, answered = append(asked, l), append(answered, l)
		}
		slices.SortFunc(asked, func(a, b *hold) int { return cmp.Compare(a.asked, b.asked) })
		slices.SortFunc(answered, func(a, b *hold) int { return cmp.Compare(a.answered, b.answered) })
		var largest *hold
		for _, l := range asked {
			for len(answered) > 0 && answered[0].answered < l.asked {
				if largest == nil || answered[0].token > largest.token {
					largest = answered[0]
				}
				answered = answered[1:]
			}
			if largest != nil && l.token <= largest.token {
				found = append(found, fmt.Sprintf("%s comes after the %s", l, largest))
			}
		}
	}
	return found
}

// believersAreAlone compares the times for which holders were sure of their lock by their own account, which reads nothing but
// the clock: from the grant to the last moment at which Err was nil. Nobody else is granted the lock in that time, but where the
// documents say so: after a ForceRelease, if the clock of the database was set, and where a session lock ends with a connection.
func believersAreAlone(h *history) []string {
	return h.alone("believed to have it still", func(l *hold) (time.Duration, bool) {
		if len(l.believed) == 0 {
			return 0, false
		}
		last := slices.Max(l.believed)
		return last, !h.excused(l, last)
	})
}

// alone looks for holders who had a lock, from their grant up to a moment, beside others who had it, or after others had been granted it.
func (h *history) alone(did string, upTo func(l *hold) (time.Duration, bool)) []string {
	var spans []span
	ends := make(map[*hold]time.Duration)
	for _, l := range h.holds {
		if !l.granted {
			continue
		}
		if to, ok := upTo(l); ok {
			ends[l] = to
			spans = append(spans, span{who: l.String(), name: l.name, mode: l.mode, permits: l.permits, from: l.answered, to: to})
		}
	}
	found := overlaps(spans)
	for _, n := range h.names {
		grants := h.grants(n.ID)
		for i, l := range grants {
			to, ok := ends[l]
			if !ok {
				continue
			}
			for _, later := range grants[i+1:] {
				if exclude(l.mode, later.mode) && later.answered < to {
					found = append(found, fmt.Sprintf("%s %s at %v, although %s had been granted at %v", l, did, to, later, later.answered))
				}
			}
		}
	}
	return found
}

// grants are those of a name in the order of their tokens.
func (h *history) grants(name int) []*hold {
	var all []*hold
	for _, l := range h.holds {
		if l.name == name && l.granted {
			all = append(all, l)
		}
	}
	slices.SortStableFunc(all, func(a, b *hold) int { return cmp.Compare(a.token, b.token) })
	return all
}

// lateness is for how long after its end a fault may still end a session.
const lateness = 2 * time.Second

// excused says whether something happened to a hold, before a moment, after which it may believe wrongly for an instant.
func (h *history) excused(l *hold, at time.Duration) bool {
	for _, f := range h.forces {
		if f.name == l.name && f.from <= at && (f.to == never || f.to+lateness >= l.asked) {
			return true
		}
	}
	for _, f := range h.faults {
		ends := f.ends && !h.leases || f.kind == clockJump && h.leases
		if ends && f.hits(l.process) && f.from <= at && (f.to == never || f.to+lateness >= l.asked) {
			return true
		}
	}
	return false
}

// noLossIsSilent: whose Release has said that all is well held the lock up to its call. So nobody else can have been granted it before,
// whatever happened.
func noLossIsSilent(h *history) []string {
	return h.alone("was released well", func(l *hold) (time.Duration, bool) { return l.release, l.outcome == evReleased })
}

// waitersAreServed finds those who have given up although nothing was done to anybody for the whole of a bound.
func waitersAreServed(h *history) []string {
	var found []string
	for _, l := range h.holds {
		if !l.refused || l.patience < bound {
			continue
		}
		disturbed := l.asked
		for _, f := range h.faults {
			if f.from <= l.answered {
				disturbed = max(disturbed, min(f.to, l.answered))
			}
		}
		if l.answered-disturbed >= bound {
			found = append(found, fmt.Sprintf("%s waited in vain for %v, the last %v in peace", l, l.answered-l.asked, l.answered-disturbed))
		}
	}
	return found
}
