//go:build linux

package torture

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/anishathalye/porcupine"
)

// An operation of the model is one of these, on one name.
const (
	opAcquire = iota
	opRelease
	opLoss
	opRead  // guarded, by a reader
	opWrite // guarded, by a writer
	opVisit // guarded, by the holder of a permit
	opAlone // a write in a transaction that has locked the name itself
)

var opNames = [...]string{"acquire", "release", "lose", "read", "write", "visit", "write alone"}

// input is an operation.
type input struct {
	kind    int
	name    int
	hold    int // its place in the history
	mode    string
	permits int
	rank    int // of an acquire, among those of the name, by their tokens
	value   int64
}

// holding is one holder in a state.
type holding struct {
	hold int
	mode string
}

// state is that of one name: who holds it, and what is in its register.
type state struct {
	value   int64
	grants  int // so many there have been
	holders []holding
}

// step is a lock and a register as they should be. Grants come in the order of their tokens: every backend gives a token while it
// has the lock, and before it answers.
func (s state) step(in input) (bool, state) {
	at := slices.IndexFunc(s.holders, func(h holding) bool { return h.hold == in.hold })
	switch in.kind {
	case opAcquire:
		permits := 1
		for _, h := range s.holders {
			if exclude(h.mode, in.mode) {
				return false, s
			}
			permits++
		}
		if in.rank != s.grants || in.mode == permit && permits > in.permits {
			return false, s
		}
		s.holders = append(slices.Clone(s.holders), holding{in.hold, in.mode})
		s.grants++
		return true, s
	case opRelease, opLoss:
		if at < 0 {
			return false, s
		}
		s.holders = slices.Delete(slices.Clone(s.holders), at, at+1)
		return true, s
	case opRead:
		return at >= 0 && s.value == in.value, s
	case opVisit:
		return at >= 0, s
	case opWrite:
		if at < 0 || s.value != in.value {
			return false, s
		}
		s.value++
		return true, s
	default:
		if len(s.holders) > 0 || s.value != in.value {
			return false, s
		}
		s.value++
		return true, s
	}
}

func (s state) equal(other state) bool {
	return s.value == other.value && s.grants == other.grants && slices.Equal(s.holders, other.holders)
}

// model is what porcupine compares a history with.
var model = porcupine.Model{
	Partition: func(operations []porcupine.Operation) [][]porcupine.Operation {
		byName := make(map[int][]porcupine.Operation)
		for _, o := range operations {
			n := o.Input.(input).name
			byName[n] = append(byName[n], o)
		}
		return slices.Collect(maps.Values(byName))
	},
	Init:  func() any { return state{} },
	Step:  func(s, in, _ any) (bool, any) { return s.(state).step(in.(input)) },
	Equal: func(a, b any) bool { return a.(state).equal(b.(state)) },
	DescribeOperation: func(in, _ any) string {
		i := in.(input)
		return fmt.Sprintf("%s %d (lock %d, %s, grant %d, value %d)", opNames[i.kind], i.name, i.hold, i.mode, i.rank, i.value)
	},
	DescribeState: func(s any) string { return fmt.Sprintf("%+v", s) },
}

// operations are what the model is asked about. What may or may not have happened is left out if the database does not show it: a
// lock that was granted to somebody who never heard of it only keeps others out, and nobody is kept out in a history.
func (h *history) operations() []porcupine.Operation {
	var all []porcupine.Operation
	add := func(process int, in input, call, ret time.Duration) {
		all = append(all, porcupine.Operation{ClientId: process, Input: in, Call: int64(call), Return: int64(min(ret, h.end))})
	}
	places := make(map[*hold]int)
	busy := make(map[*hold]time.Duration) // when it last certainly had the lock
	for i, l := range h.holds {
		places[l], busy[l] = i, l.asked
	}
	for _, n := range h.names {
		for rank, l := range h.grants(n.ID) {
			in := input{kind: opAcquire, name: l.name, hold: places[l], mode: l.mode, permits: l.permits, rank: rank}
			add(l.process, in, l.asked, l.answered)
		}
	}
	for _, t := range h.txs {
		if t.commit == never || !t.committed && !t.found {
			continue
		}
		in := input{kind: opAlone, name: t.name, hold: -1, mode: t.mode, value: t.value}
		if t.hold != nil {
			in.hold = places[t.hold]
			in.kind = map[string]int{exclusive: opWrite, shared: opRead, permit: opVisit}[t.mode]
			busy[t.hold] = max(busy[t.hold], t.commit)
		}
		ret := never
		if t.committed {
			ret = t.ended
		}
		add(t.process, in, t.commit, ret)
	}
	for _, n := range h.names {
		grants := h.grants(n.ID)
		for i, l := range grants {
			in := input{kind: opLoss, name: l.name, hold: places[l], mode: l.mode}
			if l.outcome == evReleased {
				in.kind = opRelease
				add(l.process, in, l.release, l.released)
				continue
			}
			// When a lock that was lost came free is not known, but it was before the next was granted whom it would have kept out.
			ret := never
			for _, later := range grants[i+1:] {
				if exclude(l.mode, later.mode) {
					ret = min(ret, later.answered)
				}
			}
			add(l.process, in, busy[l]+1, max(ret, busy[l]+1))
		}
	}
	return all
}

// linearizable asks porcupine whether there is an order of all that happened in which a lock and a register as they should be would
// have given the same answers.
func (h *history) linearizable(patience time.Duration) (porcupine.CheckResult, porcupine.LinearizationInfo) {
	return porcupine.CheckOperationsVerbose(model, h.operations(), patience)
}
