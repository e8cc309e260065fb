//go:build linux

package torture

import (
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// story is a history that a test tells: each line is one moment later than the last.
type story struct {
	events []Event
	ledger ledger
}

func (s *story) tell(process, id int, what string, more Event) *story {
	more.At, more.Process, more.What, more.Name = time.Duration(len(s.events)+1)*time.Millisecond, process, what, 1
	switch what {
	case evBegin, evGuarded, evCommit, evCommitted, evAborted, evUnknown:
		more.Tx = id
	default:
		more.Hold = id
	}
	s.events = append(s.events, more)
	return s
}

// grant is the lock of a process, which has one.
func (s *story) grant(process int, mode string, token int64) *story {
	return s.tell(process, 1, evAcquire, Event{Mode: mode, Permits: 2}).tell(process, 1, evGranted, Event{Token: token})
}

func (s *story) believe(process int) *story { return s.tell(process, 1, evBelieves, Event{}) }

func (s *story) release(process int) *story {
	return s.tell(process, 1, evRelease, Event{}).tell(process, 1, evReleased, Event{})
}

// guard begins a transaction.
func (s *story) guard(process, tx int, mode string) *story {
	return s.tell(process, tx, evBegin, Event{Hold: 1, Mode: mode}).tell(process, tx, evGuarded, Event{})
}

func (s *story) commit(process, tx int, value int64) *story {
	return s.tell(process, tx, evCommit, Event{Value: value}).tell(process, tx, evCommitted, Event{})
}

// write is a line in the log, and a value that it leaves.
func (s *story) write(process, tx int, value, token int64) *story {
	s.ledger.Written = append(s.ledger.Written, written{Process: process, Tx: tx, Name: 1, Value: value, Token: token})
	if s.ledger.Values == nil {
		s.ledger.Values = make(map[int]int64)
	}
	s.ledger.Values[1] = max(s.ledger.Values[1], value)
	return s
}

func (s *story) history(t *testing.T) *history {
	t.Helper()
	h, err := newHistory(s.events)
	require.NoError(t, err)
	h.names = []name{{ID: 1, Permits: 2}}
	h.leases = true
	h.settle(s.ledger)
	return h
}

// good is a history of two holders, one after the other, and one who gave up.
func good() *story {
	return new(story).
		grant(1, exclusive, 1).believe(1).guard(1, 2, exclusive).commit(1, 2, 0).write(1, 2, 1, 1).release(1).
		tell(3, 1, evAcquire, Event{Mode: exclusive}).tell(3, 1, evRefused, Event{}).
		grant(2, exclusive, 2).believe(2).guard(2, 2, exclusive).commit(2, 2, 1).write(2, 2, 2, 2).release(2)
}

func TestChecksAcceptAGoodHistory(t *testing.T) {
	t.Parallel()
	h := good().history(t)
	for _, c := range checks {
		assert.Empty(t, c.find(h), c.claim)
	}
	result, _ := h.linearizable(time.Minute)
	assert.Equal(t, porcupine.Ok, result)
}

func TestChecksRejectWhatIsWrong(t *testing.T) {
	t.Parallel()
	for what, c := range map[string]struct {
		find  func(h *history) []string
		story *story
	}{
		"guarded transactions of two writers that overlap": {
			guardedNeverInterleave,
			new(story).grant(1, exclusive, 1).grant(2, exclusive, 2).guard(1, 2, exclusive).guard(2, 2, exclusive).
				commit(1, 2, 0).commit(2, 2, 1).write(1, 2, 1, 1).write(2, 2, 2, 2),
		},
		"a guarded writer beside a guarded reader": {
			guardedNeverInterleave,
			new(story).grant(1, exclusive, 1).grant(2, shared, 2).guard(1, 2, exclusive).guard(2, 2, shared).
				commit(2, 2, 0).commit(1, 2, 0).write(1, 2, 1, 1),
		},
		"guarded transactions of more permits than there are": {
			guardedNeverInterleave,
			new(story).grant(1, permit, 1).grant(2, permit, 2).grant(3, permit, 3).
				guard(1, 2, permit).guard(2, 2, permit).guard(3, 2, permit).
				commit(1, 2, 0).commit(2, 2, 0).commit(3, 2, 0).write(1, 2, 0, 1).write(2, 2, 0, 2).write(3, 2, 0, 3),
		},
		"an unacknowledged transaction that overlaps and has left its line": {
			guardedNeverInterleave,
			new(story).grant(1, exclusive, 1).grant(2, exclusive, 2).guard(1, 2, exclusive).guard(2, 2, exclusive).
				tell(1, 2, evCommit, Event{}).commit(2, 2, 0).write(1, 2, 1, 1).write(2, 2, 2, 2),
		},
		"an update that was lost":                          {writesFollowEachOther, good().write(3, 9, 2, 3)},
		"a gap":                                            {writesFollowEachOther, good().write(3, 9, 4, 3)},
		"a value that nobody wrote":                        {writesFollowEachOther, func() *story { s := good(); s.ledger.Values[1] = 3; return s }()},
		"a write with an older token":                      {writesFollowEachOther, good().write(3, 9, 3, 1)},
		"an acknowledged write that is not there":          {acknowledgedIsThere, func() *story { s := good(); s.ledger.Written = s.ledger.Written[:1]; return s }()},
		"a write that was rolled back, and is there":       {acknowledgedIsThere, good().guard(2, 3, exclusive).tell(2, 3, evAborted, Event{}).write(2, 3, 3, 2)},
		"a token that goes back":                           {tokensGrow, good().grant(4, exclusive, 1)},
		"a later token that is smaller, among those known": {tokensGrow, new(story).grant(1, exclusive, 7).release(1).grant(2, exclusive, 5)},
		"a token twice":                                    {tokensGrow, new(story).tell(1, 1, evAcquire, Event{Mode: shared}).grant(2, shared, 5).tell(1, 1, evGranted, Event{Token: 5})},
		"no token":                                         {tokensGrow, new(story).grant(1, exclusive, 0)},
		"two writers who believe":                          {believersAreAlone, new(story).grant(1, exclusive, 1).grant(2, exclusive, 2).believe(2).believe(1)},
		"a reader and a writer who believe":                {believersAreAlone, new(story).grant(1, shared, 1).grant(2, exclusive, 2).believe(2).believe(1)},
		"one who believes after the next has been granted": {believersAreAlone, new(story).grant(1, exclusive, 1).grant(2, exclusive, 2).believe(1)},
		"three of two permits":                             {believersAreAlone, new(story).grant(1, permit, 1).grant(2, permit, 2).grant(3, permit, 3).believe(1).believe(2).believe(3)},
		"two writers who both released":                    {noLossIsSilent, new(story).grant(1, exclusive, 1).grant(2, exclusive, 2).release(1).release(2)},
		"a release although somebody else had been granted": {
			noLossIsSilent,
			new(story).grant(1, exclusive, 1).grant(2, exclusive, 2).tell(2, 1, evLost, Event{Reason: "x"}).release(1),
		},
		"a waiter who waits in vain": {
			waitersAreServed,
			func() *story {
				s := new(story).tell(1, 1, evAcquire, Event{Mode: exclusive, Patience: bound}).tell(1, 1, evRefused, Event{})
				s.events[1].At += bound
				return s
			}(),
		},
		"an alarm": {checks[0].find, new(story).tell(1, 0, evAlarm, Event{Reason: "fire"})},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			assert.NotEmpty(t, c.find(c.story.history(t)))
		})
	}
}

func TestModelRejectsWhatIsWrong(t *testing.T) {
	t.Parallel()
	for what, s := range map[string]*story{
		"two writers who both released": new(story).grant(1, exclusive, 1).grant(2, exclusive, 2).release(1).release(2),
		"a writer beside a reader":      new(story).grant(1, shared, 1).grant(2, exclusive, 2).release(1).release(2),
		"three of two permits":          new(story).grant(1, permit, 1).grant(2, permit, 2).grant(3, permit, 3).release(1).release(2).release(3),
		"a token that goes back":        new(story).grant(1, exclusive, 2).release(1).grant(2, exclusive, 1),
		"a write after the lock was lost to the next, who has written": new(story).
			grant(1, exclusive, 1).grant(2, exclusive, 2).guard(2, 2, exclusive).commit(2, 2, 0).write(2, 2, 1, 2).
			guard(1, 2, exclusive).commit(1, 2, 1).write(1, 2, 2, 1),
		"a stale read": good().grant(4, shared, 3).guard(4, 2, shared).commit(4, 2, 1),
		"a permit that is used after it was lost to a writer": new(story).
			grant(1, permit, 1).grant(2, exclusive, 2).guard(1, 2, permit).commit(1, 2, 0).write(1, 2, 0, 1).release(2),
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			result, _ := s.history(t).linearizable(time.Minute)
			assert.Equal(t, porcupine.Illegal, result)
		})
	}
}

// TestModelLetsTheUnknownHappenOrNot has a commit without an answer, before and after what shows it, and a loss that nobody saw.
func TestModelLetsTheUnknownHappenOrNot(t *testing.T) {
	t.Parallel()
	for what, s := range map[string]*story{
		"it happened": new(story).grant(1, exclusive, 1).guard(1, 2, exclusive).tell(1, 2, evCommit, Event{}).write(1, 2, 1, 1).
			grant(2, exclusive, 2).guard(2, 2, exclusive).commit(2, 2, 1).write(2, 2, 2, 2).release(2),
		"it did not": new(story).grant(1, exclusive, 1).guard(1, 2, exclusive).tell(1, 2, evCommit, Event{}).
			grant(2, exclusive, 2).guard(2, 2, exclusive).commit(2, 2, 0).write(2, 2, 1, 2).release(2),
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			h := s.history(t)
			result, _ := h.linearizable(time.Minute)
			assert.Equal(t, porcupine.Ok, result)
			assert.Empty(t, writesFollowEachOther(h))
		})
	}
}

// TestBelieversAreExcusedByWhatTheDocumentsSay: the same history, with a cause.
func TestBelieversAreExcusedByWhatTheDocumentsSay(t *testing.T) {
	t.Parallel()
	two := func(cause func(s *story) *story) *story {
		return cause(new(story).grant(1, exclusive, 1)).grant(2, exclusive, 2).believe(2).believe(1)
	}
	fault := func(e Event) func(s *story) *story {
		return func(s *story) *story { return s.tell(0, 0, evFault, e).tell(0, 0, evHealed, e) }
	}
	forced := two(func(s *story) *story { return s.tell(3, 1, evForce, Event{}).tell(3, 1, evForced, Event{}) }).history(t)
	assert.Empty(t, believersAreAlone(forced))
	ended := two(fault(Event{Fault: 1, Ends: true, Who: []int{1}})).history(t)
	assert.NotEmpty(t, believersAreAlone(ended), "a lease does not end with a connection")
	ended.leases = false
	assert.Empty(t, believersAreAlone(ended))
	elsewhere := two(fault(Event{Fault: 1, Ends: true, Who: []int{4}})).history(t)
	elsewhere.leases = false
	assert.NotEmpty(t, believersAreAlone(elsewhere))
	jumped := two(fault(Event{Fault: 1, Reason: clockJump})).history(t)
	assert.Empty(t, believersAreAlone(jumped))
	jumped.leases = false
	assert.NotEmpty(t, believersAreAlone(jumped), "session locks read no clock of the database")
	stopped := two(fault(Event{Fault: 1, Reason: "client stopped", Who: []int{1}})).history(t)
	assert.NotEmpty(t, believersAreAlone(stopped), "who was stopped has to look at the clock")
}
