package advisory

import (
	"errors"
	"math/rand/v2"
	"net"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sqllock/toolkit/sqllock"
)

// idleSession has no connection, and asks for none.
func idleSession() *Session {
	s := Open(Config{SessionConfig: sqllock.SessionConfig{Clock: sqllock.SystemClock, Rand: rand.NewPCG(1, 1)}, MaxLocks: 100})
	s.link = &link{session: s, nonce: pair{1, 2}, marker: pair{3, 4}}
	return s
}

// Who enlists after it has tried is told of no release that lies in between. What is given up comes first: others may wait for it, and we too.
func TestEnlistingComesBeforeTheAttemptAndReleasesBeforeBoth(t *testing.T) {
	s := idleSession()
	wanted, held := s.entry(1), s.entry(2)
	wanted.queue()
	w := &waiter{session: s, entry: wanted, req: &sqllock.Request{}}
	s.entering = []*op{{kind: attempt, entry: wanted, req: w.req, waiter: w}}
	s.leaving = []*op{{kind: release, entry: held, hold: &Hold{entry: held, req: &sqllock.Request{}}}}
	b := new(batch)
	s.load(b)
	var order []string
	for _, c := range b.groups[changing] {
		order = append(order, c.name)
	}
	assert.Equal(t, []string{"unlock", "enlist", "lock"}, order)
}

// told is a holder and the connection on which its lock is given up.
type told struct {
	net.Conn
	events []string
}

func (w *told) Lost(error) { w.events = append(w.events, "told") }

func (w *told) Write(p []byte) (int, error) {
	w.events = append(w.events, "sent")
	return len(p), nil
}

// What is sent may free what somebody was forced to give up.
func TestHoldersAreToldBeforeTheServerIs(t *testing.T) {
	w := new(told)
	outbox{losses: []loss{{w, sqllock.ErrForced}}, batch: &batch{link: &link{conn: w}}}.deliver()
	assert.Equal(t, []string{"told", "sent"}, w.events)
}

// What the server does not have for us any more, others may have.
func TestSessionThatMissesALockIsGivenUp(t *testing.T) {
	s := idleSession()
	e := s.entry(7)
	e.add(&Hold{link: s.link, entry: e, req: &sqllock.Request{}})
	for _, there := range []bool{true, false} {
		c := check{flying: true, found: map[server]bool{
			{false, s.link.nonce.number(), true}:  true,
			{false, s.link.marker.number(), true}: true,
			{true, 7, true}:                       there,
		}}
		err := c.arrived(s, new(batch))
		if there {
			require.NoError(t, err)
			assert.Empty(t, c.excess)
		} else {
			require.True(t, errors.Is(err, sqllock.ErrEvicted))
		}
	}
}
