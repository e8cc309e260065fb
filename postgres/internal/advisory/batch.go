package advisory

import (
	"errors"
	"fmt"
	"time"

	"github.com/sqllock/toolkit/sqllock"
)

// batch is what one write carries: one transaction for what gives up and what wants to hold, in this order, and one for questions.
type batch struct {
	link   *link
	ping   bool
	sent   time.Duration
	groups [2][]call
	pid    int64 // who answered, where that is asked
	failed error // of one of the transactions

	// Of the reader.
	group, call, rows int
}

// call is one statement, for one or many ops.
type call struct {
	name string
	ops  []*op

	// Of a statement without ops.
	fill func(*encoder)
	pass func(values [][]byte) error
}

// The transactions of a batch.
const (
	changing = iota
	asking
)

func (b *batch) add(group int, name string, ops ...*op) {
	if len(ops) > 0 {
		b.groups[group] = append(b.groups[group], call{name: name, ops: ops})
	}
}

// unmark gives up the marks of what is to be released, those of many together.
func (b *batch) unmark(releases []*op) {
	var marks []server
	for _, o := range releases {
		if m := o.hold.mark; m != (pair{}) {
			marks = append(marks, server{false, m.number(), true})
		}
	}
	if len(marks) > 0 {
		b.groups[changing] = append(b.groups[changing], dropping(marks))
	}
}

// addOneOrMany adds the statement for one op, which costs less, or that for many.
func (b *batch) addOneOrMany(name string, ops []*op) {
	if len(ops) > 1 {
		name += "_many"
	}
	b.add(changing, name, ops...)
}

// identify has the answer say which server process gave it.
func (b *batch) identify() {
	first := 0
	for first < len(b.groups)-1 && len(b.groups[first]) == 0 {
		first++
	}
	who := call{name: "who", pass: func(values [][]byte) error {
		b.pid, _ = integer(values[0])
		return nil
	}}
	b.groups[first] = append([]call{who}, b.groups[first]...)
}

// encode writes the batch as the server reads it. An empty one is a ping.
func (b *batch) encode(e *encoder) {
	e.buf = e.buf[:0]
	synced := false
	for _, calls := range b.groups {
		if len(calls) == 0 {
			continue
		}
		for _, c := range calls {
			c.parameters(e, b.link)
			e.execute(c.name)
		}
		e.sync()
		synced = true
	}
	if !synced {
		e.sync()
	}
}

func (c call) parameters(e *encoder, l *link) {
	if c.fill != nil {
		c.fill(e)
	}
	n := len(c.ops)
	key := func(i int) int64 { return c.ops[i].entry.key }
	companion := func(i int) (pair, bool) { return c.ops[i].entry.companion, true }
	barrier := func(i int) (pair, bool) { return c.ops[i].entry.barrier, true }
	intent := func(i int) (pair, bool) { return c.ops[i].entry.intent, true }
	switch c.name {
	case "lock":
		e.int8(c.ops[0].entry.key)
		e.pair(c.ops[0].entry.barrier)
	case "unlock":
		e.int8(c.ops[0].entry.key)
		e.pair(c.ops[0].entry.companion)
	case "lock_many":
		e.int8s(n, key)
		e.pairs(n, barrier)
	case "unlock_many":
		e.int8s(n, key)
		e.pairs(n, companion)
	case "share":
		e.bools(n, func(i int) bool { return c.ops[i].join })
		e.int8s(n, key)
		e.pairs(n, barrier)
		e.pairs(n, intent)
		e.bools(n, func(i int) bool { return c.ops[i].yields })
	case "permit":
		o := c.ops[0]
		e.int8(o.entry.key)
		e.pair(o.entry.barrier)
		e.pair(o.entry.intent)
		e.bool(o.yields)
		e.bool(o.join)
		e.pairs(len(o.slots), func(i int) (pair, bool) { return o.entry.slot(o.slots[i]), true })
		e.pairs(len(o.slots), func(i int) (pair, bool) { return o.entry.slotBarrier(o.slots[i]), true })
	case "unshare":
		e.chars(n, func(i int) byte {
			if o := c.ops[i]; o.hold.req.Mode == sqllock.ModePermit && o.last {
				return 'q'
			}
			return letter(c.ops[i].hold.req.Mode)
		})
		e.int8s(n, key)
		e.pairs(n, companion)
		e.pairs(n, barrier)
		e.pairs(n, func(i int) (pair, bool) {
			h := c.ops[i].hold
			if h.req.Mode != sqllock.ModePermit {
				return pair{}, false
			}
			return h.entry.slot(int(h.slot)), true
		})
	case "enlist":
		e.pairs(n, func(i int) (pair, bool) { return c.ops[i].entry.companion, c.ops[i].enlist })
		e.pairs(n, func(i int) (pair, bool) { return c.ops[i].entry.intent, c.ops[i].intend })
	case "delist":
		e.int8s(n, key)
		e.pairs(n, companion)
		e.pairs(n, func(i int) (pair, bool) { return c.ops[i].entry.intent, c.ops[i].intend })
	case "unguarded":
		e.pair(c.ops[0].entry.barrier)
	case "notify":
		e.text(c.ops[0].message)
	case "mark":
		e.pair(c.ops[0].pair)
	case "holders":
		e.int8(c.ops[0].entry.key)
		e.int8(int64(uint32(l.marker.a)))
	}
}

// current is the call that is being answered.
func (b *batch) current() *call {
	if b == nil {
		return nil
	}
	b.skip()
	if b.group == len(b.groups) || b.call == len(b.groups[b.group]) {
		return nil
	}
	return &b.groups[b.group][b.call]
}

// skip passes over transactions that were not sent.
func (b *batch) skip() {
	for b.group < len(b.groups) && len(b.groups[b.group]) == 0 {
		b.group++
	}
}

// row takes in one row of the current call.
func (b *batch) row(values [][]byte) error {
	c := b.current()
	if c == nil || len(values) == 0 {
		return fmt.Errorf("postgres: a row that nobody asked for")
	}
	if c.pass != nil {
		return c.pass(values)
	}
	if c.name == "holders" {
		pid, _ := integer(values[0])
		c.ops[0].pids = append(c.ops[0].pids, pid)
		return nil
	}
	if b.rows == len(c.ops) {
		return fmt.Errorf("postgres: %s: a row too many", c.name)
	}
	o := c.ops[b.rows]
	b.rows++
	switch c.name {
	case "enlist":
		o.intent = truth(values[0])
		return nil // its attempt follows
	case "delist":
		if o.kind == release {
			return nil // which follows
		}
		o.code, o.null = integer(values[0])
	case "unguarded", "notify", "mark":
		o.code = int64(bit(truth(values[0])))
	case "lock", "lock_many", "share", "permit":
		if err := o.attempted(values); err != nil {
			return fmt.Errorf("postgres: %s: %w", c.name, err)
		}
	default:
		o.code, o.null = integer(values[0])
	}
	o.answered = true
	return nil
}

// errNoAnswer says that a row is not what the statement returns: it is the answer to somebody else's.
var errNoAnswer = errors.New("the server answers what nobody asked")

// attempted takes in the answer to an attempt. What is no answer is no refusal either.
func (o *op) attempted(values [][]byte) error {
	if o.code, o.null = integer(values[0]); values[0] == nil {
		return nil
	}
	if len(values[0]) != 8 || o.code < yielded {
		return errNoAnswer
	}
	if o.req.Mode != sqllock.ModePermit || o.code < 0 {
		return nil
	}
	if len(values) < 2 {
		return errNoAnswer
	}
	place, null := integer(values[1])
	if null || place < 1 || place > int64(len(o.slots)) {
		return errNoAnswer
	}
	o.slot = int32(o.slots[place-1])
	return nil
}

// complete is the end of the current call.
func (b *batch) complete() error {
	c := b.current()
	if c == nil || c.pass == nil && c.name != "holders" && b.rows != len(c.ops) {
		return fmt.Errorf("postgres: %w", errNoAnswer)
	}
	if c.name == "holders" {
		c.ops[0].answered = true
	}
	b.call++
	b.rows = 0
	return nil
}

// fail is the end of the current transaction. What was given up before stays given up, because the locks of a session know no
// transactions, but notifications do. It may fail when it commits, after all calls.
func (b *batch) fail(err error) {
	if b.skip(); b.group == len(b.groups) {
		return
	}
	b.failed = err
	for i, c := range b.groups[b.group] {
		for _, o := range c.ops {
			switch {
			case c.name == "delist" && o.kind == release: // whose own call comes later
			case i < b.call && (c.name == "unlock" || c.name == "unlock_many" || c.name == "unshare"):
				o.unheard = o.code == notified
			default:
				o.failure, o.answered = err, true
			}
		}
	}
}

// synced ends a transaction, and reports whether it was the last.
func (b *batch) synced() bool {
	b.skip()
	if b.group < len(b.groups) {
		b.group++
		b.call, b.rows = 0, 0
	}
	b.skip()
	return b.group == len(b.groups)
}

// doubt is an error if the answers came from another server process than the one that we began with.
func (b *batch) doubt(l *link) error {
	switch {
	case !l.proxied:
		return nil
	case sqlState(b.failed) == invalidStatementName: // prepared elsewhere
		return errShared
	case b.pid != 0 && b.pid != int64(l.pid):
		return fmt.Errorf("%w: it was %d, and is %d", errShared, l.pid, b.pid)
	}
	return nil
}
