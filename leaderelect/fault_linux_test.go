package leaderelect_test

import (
	"context"
	"fmt"
	"net"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sqllock/toolkit/internal/testdb"
	"github.com/sqllock/toolkit/sqllock"
)

// network is what one process reaches the server over. While it is cut nothing passes in either direction, and neither side is told. What was
// sent meanwhile, the end of a connection included, arrives when it is mended, as TCP would repeat it.
type network struct {
	back testdb.Silencer // of what the server sends
	mu   sync.Mutex
	down bool
	all  []*cable
}

// cable is a connection over a network.
type cable struct {
	net.Conn
	of     *network
	unsent []byte
	closed bool
}

func (n *network) dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := n.back.Dial(ctx, network, address)
	if err != nil {
		return nil, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	c := &cable{Conn: conn, of: n}
	n.all = append(n.all, c)
	return c, nil
}

func (n *network) cut() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.down = true
	return n.back.Silence()
}

func (n *network) mend() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.down = false
	for _, c := range n.all {
		if len(c.unsent) > 0 {
			_, _ = c.Conn.Write(c.unsent) // an error: the server has given up
			c.unsent = nil
		}
		if c.closed {
			_ = c.Conn.Close()
		}
	}
	return n.back.Restore()
}

func (c *cable) Write(b []byte) (int, error) {
	c.of.mu.Lock()
	down, closed := c.of.down, c.closed
	if down && !closed {
		c.unsent = append(c.unsent, b...)
	}
	c.of.mu.Unlock()
	switch {
	case closed:
		return 0, net.ErrClosed
	case down:
		return len(b), nil
	}
	return c.Conn.Write(b)
}

func (c *cable) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.of.mu.Lock()
	defer c.of.mu.Unlock()
	if c.closed {
		return 0, net.ErrClosed
	}
	return n, err
}

func (c *cable) Close() error {
	c.of.mu.Lock()
	defer c.of.mu.Unlock()
	if c.closed {
		return net.ErrClosed
	}
	c.closed = true
	if c.of.down {
		return c.SetDeadline(time.Unix(1, 0)) // whoever reads is to find out
	}
	return c.Conn.Close()
}

// TestLeaderThatIsCutOffIsDeposed cuts the network of the leader alone. It knows that its term is over before the next one begins.
func TestLeaderThatIsCutOffIsDeposed(t *testing.T) {
	t.Parallel()
	for _, b := range backends {
		if b.start == nil {
			continue // no server
		}
		t.Run(b.name, func(t *testing.T) {
			t.Parallel()
			e := newElection(t, b)
			var wire network
			a, b := e.writerOver(wire.dial, "a", shortest), e.writer("b")
			first := a.run().wins(0)
			b.run().waits()
			e.Cleanup(func() { assert.NoError(e, wire.mend()) }) // before members leave
			a.writes()
			valid := e.watch(first.Term)
			require.NoError(e, wire.cut())
			since := time.Now()
			second := b.wins(shortest)
			assert.True(e, valid().Before(second.granted), "its term was valid when the next one began")
			e.Logf("told %v after the cut, and followed after %v", valid().Sub(since), second.granted.Sub(since))
			assert.Greater(e, second.Token, first.Token)
			require.ErrorIs(e, a.falls(), sqllock.ErrLost)
			require.ErrorIs(e, context.Cause(first.ctx), sqllock.ErrLost)
			asking, cancel := context.WithTimeout(e.Context(), 100*time.Millisecond)
			defer cancel()
			_, err := a.Leader(asking)
			require.Error(e, err)
			require.NotErrorIs(e, err, sqllock.ErrNoLeader, "nothing answers")
			b.writes()

			require.NoError(e, wire.mend())
			require.ErrorIs(e, write(e.Context(), e.app, a.opened, first.Term), sqllock.ErrLost)
			b.sees("a") // or what it had asked before, and has forgotten: so b does not only stand back for a while
			b.writes()
			require.NoError(e, b.IsLeader(e.Context()), "what had not been sent before changes nothing")
			b.stop()
			third := a.wins(0)
			assert.Greater(e, third.Token, second.Token, "it takes part again")
			a.writes()
			assert.NotZero(e, e.checkJournal())
		})
	}
}

// TestTerminatedProcessesHandOver ends the Run of one leader after the other by a signal, among processes that all observe. The locks of those that
// have ended would last much longer.
func TestTerminatedProcessesHandOver(t *testing.T) {
	onBackends(t, func(e *election) {
		const rounds = 10
		seer := e.member("seer", nil)
		leader := e.process("p0", longTTL)
		token := leader.wins()
		all := []*helper{leader, e.process("p1", longTTL), e.process("p2", longTTL)}
		for _, h := range all[1:] {
			seer.sees(h.id)
		}
		for _, h := range all {
			h.asked("observe")
		}
		for range rounds {
			for _, h := range all {
				h.observes(leader.id, token)
			}
			require.Equal(e, "true <nil>", leader.asked("write"))
			leader.signal(syscall.SIGTERM)
			next, later := e.oneWins(all...)
			require.Greater(e, later, token)
			assert.Equal(e, "", leader.tells("ended"))
			assert.Regexp(e, "^false ", leader.tells("demoted"), "it has lost nothing")
			require.NotSame(e, leader, next)
			leader.asked("run")
			seer.sees(leader.id)
			leader, token = next, later
		}
		for _, h := range all {
			h.observes(leader.id, token)
		}
		assert.Equal(e, rounds, e.checkJournal())
	})
}

// observes returns when the helper tells that it sees a leader, with its value. Terms are told in order.
func (h *helper) observes(id string, token int64) {
	h.e.Helper()
	for {
		var seen, value string
		var term int64
		_, err := fmt.Sscanf(h.tells("sees"), "%s %d of %s", &seen, &term, &value)
		require.NoError(h.e, err)
		require.LessOrEqual(h.e, term, token)
		require.Equal(h.e, seen, value)
		if term == token {
			require.Equal(h.e, id, seen)
			return
		}
	}
}
