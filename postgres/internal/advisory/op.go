package advisory

import (
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
)

// op is one thing that somebody wants of the server. Ops of one key go there one after the other, ops of different keys together.
// While it is on its way it belongs to the link's reader.
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

	hold    *Hold  // of a release
	last    bool   // the session's last hold of the key
	place   int    // among those that are released together
	message string // of a notify

	// The answer.
	code     int64
	null     bool
	intent   bool
	slot     int32
	pids     []int64
	err      error
	answered bool
	unheard  bool // the notification that a release has sent was taken back

	granted   *Hold
	settled   bool
	abandoned bool // nobody waits for the answer
	tells     bool // enlists, and does not try yet
	told      bool // has done so
	parked    bool // is sent later
	leads     bool // whoever waits for the answer reads it themselves
	done      chan struct{}
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

// newOp makes an op that somebody waits for.
func newOp(k kind, e *entry) *op { return &op{kind: k, entry: e, done: make(chan struct{}, 1)} }

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
