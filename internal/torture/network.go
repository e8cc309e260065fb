//go:build linux

package torture

import (
	"context"
	"errors"
	"net"
	"sync"

	"github.com/sqllock/toolkit/internal/testdb"
)

// network is where the connections of one process go, so that what comes back on them can be lost, without a sound. New
// connections wait while anything is lost, as they do when nobody answers.
type network struct {
	mu       sync.Mutex
	conns    []*link
	silent   bool          // what comes back is lost
	restored chan struct{} // closed when nothing is lost any more; nil: nothing is
}

type link struct {
	net.Conn
	restore func() error
}

// NetConn lets the packet filter, and TLS, find the socket.
func (l *link) NetConn() net.Conn { return l.Conn }

func (n *network) dial(ctx context.Context, network, address string) (net.Conn, error) {
	for {
		n.mu.Lock()
		restored := n.restored
		n.mu.Unlock()
		if restored == nil {
			break
		}
		select {
		case <-restored:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	l := &link{Conn: conn}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.silent {
		if err := l.silence(); err != nil {
			return nil, errors.Join(err, conn.Close())
		}
	}
	n.conns = append(n.conns, l)
	return conn, nil
}

func (l *link) silence() (err error) {
	l.restore, err = testdb.DropIncoming(l.Conn)
	return err
}

// isolate lets new connections wait: what they send is lost.
func (n *network) isolate() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.restored = make(chan struct{})
}

// silence loses everything that arrives from now on.
func (n *network) silence() error {
	n.isolate()
	n.mu.Lock()
	defer n.mu.Unlock()
	n.silent = true
	var errs []error
	open := n.conns[:0]
	for _, l := range n.conns {
		err := l.silence()
		if errors.Is(err, net.ErrClosed) {
			continue
		}
		open = append(open, l)
		errs = append(errs, err)
	}
	n.conns = open
	return errors.Join(errs...)
}

// restore ends isolation and silence.
func (n *network) restore() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	close(n.restored)
	n.silent, n.restored = false, nil
	var errs []error
	for _, l := range n.conns {
		if l.restore != nil {
			errs = append(errs, l.restore())
			l.restore = nil
		}
	}
	return errors.Join(errs...)
}
