//go:build linux

package torture

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// never is the time of what has not happened.
const never = time.Duration(math.MaxInt64)

// A hold is one attempt at a lock, and what became of it.
type hold struct {
	process, id int
	name        int
	mode        string
	permits     int
	token       int64
	patience    time.Duration

	asked    time.Duration
	answered time.Duration // granted, refused, or failed
	granted  bool
	refused  bool

	believed []time.Duration // it was certainly sure of the lock at some moment after each of these

	lost   time.Duration // told of the loss
	reason string

	release  time.Duration // called
	released time.Duration // returned
	outcome  string        // of the release: evReleased, evNotHeld or evUnreleased
}

func (h *hold) String() string {
	return fmt.Sprintf("%s lock %d of name %d (process %d, token %d)", h.mode, h.id, h.name, h.process, h.token)
}

// A transaction is one that was tied to a lock: guarded by a hold, or with a lock of its own.
type transaction struct {
	process, id int
	hold        *hold // nil: LockTx or WithTx
	name        int
	mode        string
	value       int64 // that was read

	begun, guarded, commit, ended time.Duration
	committed                     bool // acknowledged
	unknown                       bool // the answer to COMMIT is missing
	found                         bool // the database has its line in the log, which only a commit can have brought there
}

func (t *transaction) String() string {
	return fmt.Sprintf("%s transaction %d on name %d (process %d)", t.mode, t.id, t.name, t.process)
}

// A written line is what a guarded transaction leaves in the database's log.
type written struct {
	Process, Tx, Name int
	Value             int64 // that it wrote, 0 by those who hold a permit
	Token             int64
}

// A fault is something that the test did.
type fault struct {
	kind     string
	from, to time.Duration
	who      []int // processes; nil: all
	ends     bool
}

func (f *fault) hits(process int) bool { return f.who == nil || slices.Contains(f.who, process) }

// A force is a ForceRelease.
type force struct {
	name     int
	from, to time.Duration
}

// history is all that is known of one round.
type history struct {
	leases bool // of the backend: locks end with time, not with a connection
	names  []name
	holds  []*hold
	txs    []*transaction
	faults []*fault
	forces []*force
	ledger ledger
	end    time.Duration
	quiet  time.Duration // from here on nothing was done to anybody
	ended  []int         // processes that have ended by themselves
	alarms []string      // what processes have seen that must not be
}

// newHistory puts the events of all processes together.
func newHistory(events []Event) (*history, error) {
	type key struct{ process, id int }
	h := &history{}
	holds, txs, forces, faults := map[key]*hold{}, map[key]*transaction{}, map[key]*force{}, map[int]*fault{}
	slices.SortStableFunc(events, func(a, b Event) int { return cmp.Compare(a.At, b.At) })
	for _, e := range events {
		h.end = max(h.end, e.At)
		l, t := holds[key{e.Process, e.Hold}], txs[key{e.Process, e.Tx}]
		switch e.What {
		case evAcquire:
			l = &hold{
				process: e.Process, id: e.Hold, name: e.Name, mode: e.Mode, permits: e.Permits, patience: e.Patience,
				asked: e.At, answered: never, lost: never, release: never, released: never,
			}
			holds[key{e.Process, e.Hold}] = l
			h.holds = append(h.holds, l)
			continue
		case evBegin:
			t = &transaction{
				process: e.Process, id: e.Tx, hold: l, name: e.Name, mode: e.Mode,
				begun: e.At, guarded: never, commit: never, ended: never,
			}
			txs[key{e.Process, e.Tx}] = t
			h.txs = append(h.txs, t)
			continue
		case evForce:
			f := &force{name: e.Name, from: e.At, to: never}
			forces[key{e.Process, e.Hold}] = f
			h.forces = append(h.forces, f)
			continue
		case evForced:
			forces[key{e.Process, e.Hold}].to = e.At
			continue
		case evFault:
			f := &fault{kind: e.Reason, from: e.At, to: never, who: e.Who, ends: e.Ends}
			faults[e.Fault] = f
			h.faults = append(h.faults, f)
			continue
		case evHealed:
			faults[e.Fault].to = e.At
			h.quiet = max(h.quiet, e.At)
			continue
		case evAlarm:
			h.alarms = append(h.alarms, fmt.Sprintf("process %d at %v: %s", e.Process, e.At, e.Reason))
			continue
		case evEnd:
			h.ended = append(h.ended, e.Process)
			continue
		case evGuarded, evCommit, evCommitted, evAborted, evUnknown:
			if t == nil {
				return nil, fmt.Errorf("torture: history: %q of transaction %d of process %d, which has not begun", e.What, e.Tx, e.Process)
			}
		default:
			if l == nil {
				return nil, fmt.Errorf("torture: history: %q of lock %d of process %d, which was not asked for", e.What, e.Hold, e.Process)
			}
		}
		switch e.What {
		case evGranted:
			l.answered, l.granted, l.token = e.At, true, e.Token
		case evRefused:
			l.answered, l.refused = e.At, true
		case evFailed:
			l.answered, l.reason = e.At, e.Reason
		case evBelieves:
			l.believed = append(l.believed, e.At)
		case evLost:
			if l.lost == never {
				l.lost, l.reason = e.At, e.Reason
			}
		case evRelease:
			l.release = e.At
		case evReleased, evNotHeld, evUnreleased:
			l.released, l.outcome = e.At, e.What
			if l.reason == "" {
				l.reason = e.Reason
			}
		case evGuarded:
			t.guarded = e.At
		case evCommit:
			t.commit, t.value = e.At, e.Value
		case evCommitted:
			t.ended, t.committed = e.At, true
		case evAborted:
			t.ended = e.At
		case evUnknown:
			t.ended, t.unknown = e.At, true
		default:
			return nil, fmt.Errorf("torture: history: what is %q?", e.What)
		}
	}
	return h, nil
}

// settle takes the database's word for what was committed.
func (h *history) settle(l ledger) {
	type key struct{ process, id int }
	lines := make(map[key]bool, len(l.Written))
	for _, w := range l.Written {
		lines[key{w.Process, w.Tx}] = true
	}
	for _, t := range h.txs {
		t.found = lines[key{t.process, t.id}]
	}
	h.ledger = l
}

// record is what there is of a round beside the events.
type record struct {
	Kind   string // of backend
	Seed   uint64
	Names  []name
	Ledger ledger
}

const recordFile = "round.json"

// load puts together what is in the directory of a round.
func load(dir string) (*history, error) {
	var r record
	text, err := os.ReadFile(filepath.Join(dir, recordFile))
	if err == nil {
		err = json.Unmarshal(text, &r)
	}
	if err != nil {
		return nil, fmt.Errorf("torture: %w", err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "process-*.jsonl"))
	if err != nil {
		return nil, fmt.Errorf("torture: %w", err)
	}
	var events []Event
	for _, file := range files {
		e, err := readEvents(file)
		if err != nil {
			return nil, err
		}
		events = append(events, e...)
	}
	h, err := newHistory(events)
	if err != nil {
		return nil, err
	}
	h.names, h.leases = r.Names, leases(r.Kind)
	h.settle(r.Ledger)
	return h, nil
}
