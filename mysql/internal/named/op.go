package named

import (
	"strconv"
	"sync"

	"github.com/sqllock/toolkit/sqllock"
)

// kind is what an op asks of the server.
type kind uint8

const (
	attempt kind = iota
	release
	park // waits for the key, in the server
	drop // what may be held after an error
	mine // whether the session holds the key
	open // whether nobody holds the key
	mark // takes a lock that nobody asks for, if the session does not have it yet
	lift // gives that up
	same // whether this is still the session that we know
	kill // ends the statement of the session that holds the key
)

// op is one thing that somebody asks the server. All but kill are expressions, and so many fit into one statement.
type op struct {
	kind  kind
	key   string
	entry *entry
	req   *sqllock.Request // of an attempt
	polls bool             // an attempt for whoever waits
	hold  *Hold            // of a release
	link  *link            // on which the key waits for its token
	after kind             // of a drop: what has failed
	seen  func(*op)        // is told of the answer, under the session's mutex

	code  byte // '1', '0', or null
	err   error
	token int64
	pause int // how often a guarded transaction was in the way

	granted   *Hold
	settled   bool
	abandoned bool // nobody waits for the answer
	again     bool // it is the second time that it is asked
	leads     bool // whoever waits for it asks the server themselves
	received  bool
	torn      bool // aborted while somebody may still be asking
	done      chan struct{}
}

const null = 'n'

// patience is for how many seconds a parked connection waits before it begins anew. There is no good value: longer is better for those who
// wait, and shorter for a server whose clients vanish without a word.
const patience = 3600

// expression appends what the server has to work out. Keys need no quoting.
func (o *op) expression(b []byte) []byte {
	fn := func(name, rest string) []byte {
		b = append(b, name...)
		b = append(b, "('"...)
		b = append(b, o.key...)
		b = append(b, '\'')
		return append(b, rest...)
	}
	switch o.kind {
	case attempt:
		return fn("GET_LOCK", ",0)")
	case park:
		return fn("GET_LOCK", ","+strconv.Itoa(patience)+")")
	case release, lift:
		return fn("RELEASE_LOCK", ")")
	case mark:
		b = append(b, "IF("...)
		b = fn("IS_USED_LOCK", ")=CONNECTION_ID(),1,")
		return fn("GET_LOCK", ",0))")
	case drop:
		b = append(b, "IF("...)
		b = fn("IS_USED_LOCK", ")=CONNECTION_ID(),")
		return fn("RELEASE_LOCK", "),0)")
	case open:
		return fn("IS_FREE_LOCK", ")")
	default:
		return fn("IS_USED_LOCK", ")=CONNECTION_ID()")
	}
}

// ops are those that nobody uses.
var ops = sync.Pool{New: func() any { return &op{done: make(chan struct{}, 1)} }}

// newOp makes an op that somebody waits for.
func newOp(k kind, e *entry) *op {
	o := ops.Get().(*op)
	o.kind, o.entry, o.key = k, e, e.key
	return o
}

// recycle is called by whoever has waited for o, when they are done with it.
func (o *op) recycle(awaited error) {
	if awaited != nil || o.torn || !o.leads && !o.received {
		return // the session may look at it again
	}
	*o = op{done: o.done}
	ops.Put(o)
}
