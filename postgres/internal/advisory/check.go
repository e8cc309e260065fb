package advisory

import (
	"fmt"
	"time"

	"github.com/sqllock/toolkit/sqllock"
)

// check finds out what the session really holds, after an error has left that in doubt: a statement that fails keeps the locks that
// it had taken. What should not be held is given back. If anything is missing the session ends, because then nothing is certain.
type check struct {
	wanted bool
	flying bool
	found  map[server]bool
	excess []server
	failed int
}

// server is one lock as the server lists it.
type server struct {
	single    bool  // of the space of keys
	key       int64 // or a pair as one number
	exclusive bool
}

// maxChecks is how often a check that fails is made again, and checkPause how long after.
const (
	maxChecks  = 20
	checkPause = 50 * time.Millisecond
)

func (c *check) want() { c.wanted = true }

func (c *check) due() bool { return c.wanted }

// add makes b ask what is held, or give back what should not be.
func (c *check) add(b *batch) {
	c.flying = true
	if excess := c.excess; len(excess) > 0 {
		b.groups[asking] = []call{dropping(excess)}
		return
	}
	found := make(map[server]bool) // which whoever reads may go on filling after c has been reset
	c.found = found
	b.groups[asking] = []call{{name: "mine", pass: func(values [][]byte) error {
		if len(values) < 3 {
			return fmt.Errorf("postgres: %w", errNoAnswer)
		}
		key, _ := integer(values[1])
		found[server{truth(values[0]), key, truth(values[2])}] = true
		return nil
	}}}
}

// dropping gives up locks, which need not be held.
func dropping(locks []server) call {
	return call{name: "drop", fill: func(e *encoder) {
		e.bools(len(locks), func(i int) bool { return locks[i].single })
		e.int8s(len(locks), func(i int) int64 { return locks[i].key })
		e.bools(len(locks), func(i int) bool { return locks[i].exclusive })
	}, pass: func([][]byte) error { return nil }}
}

// arrived takes in the answer. An error ends the session.
func (c *check) arrived(s *Session, b *batch) error {
	if !c.flying {
		return nil
	}
	c.flying = false
	if b.failed != nil {
		c.wanted = false
		if c.failed++; c.failed == maxChecks {
			return fmt.Errorf("what the session holds could not be found out: %w", b.failed)
		}
		s.cfg.Clock.AfterFunc(checkPause, func() {
			s.mu.Lock()
			defer s.unlock()
			if s.link == b.link {
				c.want()
			}
		})
		return nil
	}
	c.failed = 0
	if len(c.excess) > 0 {
		c.wanted, c.excess = false, nil
		return nil
	}
	expected := s.expected()
	for e := range expected {
		if !c.found[e] {
			return sqllock.ErrEvicted
		}
	}
	for f := range c.found {
		if !expected[f] {
			c.excess = append(c.excess, f)
		}
	}
	c.found, c.wanted = nil, len(c.excess) > 0
	return nil
}

// blocks tells whether ops have to wait for a check that is to be made again.
func (c *check) blocks() bool { return c.failed > 0 && !c.wanted }

// expected is what the session should hold.
func (s *Session) expected() map[server]bool {
	all := map[server]bool{
		{false, s.link.nonce.number(), true}:  true,
		{false, s.link.marker.number(), true}: true,
	}
	for _, e := range s.entries {
		if e.count > 0 {
			all[server{true, e.key, e.mode == sqllock.ModeExclusive}] = true
		}
		if e.count > 0 && e.mode == sqllock.ModeShared {
			all[server{false, e.forPermits().number(), false}] = true
		}
		if e.count > 0 && e.mode == sqllock.ModePermit {
			all[server{false, e.forReaders().number(), false}] = true
			for h := e.holds; h != nil; h = h.next {
				all[server{false, e.slot(int(h.slot)).number(), true}] = true
			}
		}
		for h := e.holds; h != nil; h = h.next {
			if h.mark != (pair{}) {
				all[server{false, h.mark.number(), true}] = true
			}
		}
		if l := e.line; l != nil && l.enlisted {
			all[server{false, e.companion.number(), false}] = true
		}
		if l := e.line; l != nil && l.intent {
			all[server{false, e.intent.number(), true}] = true
		}
	}
	return all
}
