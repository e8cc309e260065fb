package advisory

import (
	"sync"

	"github.com/sqllock/toolkit/sqllock"
)

// kind is what an op asks of the server.
type kind uint8

const (
	attempt   kind = iota
	release        // of a hold
	delist         // nobody of this session waits for the key any more
	unguarded      // whether a guarded transaction is open
	notify         // tells all sessions something
	holders        // who holds the key
	mark           // locks the mark of a hold
)

// op is one thing that somebody wants of the server. Ops of one key go there one after the other, ops of different keys together.
// While it is on its way its answer belongs to whoever reads, and the rest to nobody: it is read without the session's mutex.
type op struct {
	kind  kind
	entry *entry // nil: a notify

	// Of an attempt.
	req    *sqllock.Request
	waiter *waiter // nil: a single attempt
	yields bool
	join   bool // this session has the key in this mode already
	enlist bool // take the companion first
	intend bool // try to get the intent first
	slots  []int
	tries  int
	cost   int // in the server's locks

	hold    *Hold  // of a release or a mark
	last    bool   // the session's last hold of the key
	message string // of a notify
	pair    pair   // of a mark

	// The answer.
	code     int64
	null     bool
	intent   bool
	slot     int32
	pids     []int64
	failure  error
	answered bool
	unheard  bool // the notification that a release has sent was taken back

	granted   *Hold
	err       error // for whoever waits
	settled   bool
	torn      bool // aborted while somebody may still write it, or read its answer
	abandoned bool // nobody waits for the answer
	deferred  bool // when it was abandoned, it was left behind others
	tells     bool // enlists, and does not try yet
	told      bool // has done so
	parked    bool // is sent later
	leads     bool // whoever waits for the answer reads it themselves
	done      chan struct{}
	received  bool // from done
	timed     bool // a timer has it
}

// The answers to an attempt that are not tokens.
const (
	guarded = -1 // free, but a guarded transaction is open
	yielded = -2 // others wait for it exclusively
)

// What stands in the way, for people and for those who wait.
const (
	detailGuarded = "a transaction that a former holder has guarded"
	detailYielded = "others, and somebody waits to lock it exclusively"
)

// The answers to a release.
const (
	notified = 1
	notHeld  = -1
)

// ops are those that nobody uses.
var ops = sync.Pool{New: func() any { return &op{done: make(chan struct{}, 1)} }}

// newOp makes an op that somebody waits for.
func newOp(k kind, e *entry) *op {
	o := ops.Get().(*op)
	o.kind, o.entry = k, e
	return o
}

// recycle is called by whoever has waited for o, with the outcome, when they are done with it.
func (o *op) recycle(awaited error) {
	if awaited != nil || o.timed || o.torn || !o.leads && !o.received {
		return // the session, a timer, or who writes or reads may look at it again
	}
	*o = op{done: o.done}
	ops.Put(o)
}

func letter(m sqllock.Mode) byte {
	switch m {
	case sqllock.ModeShared:
		return 's'
	case sqllock.ModePermit:
		return 'p'
	default:
		return 'x'
	}
}
