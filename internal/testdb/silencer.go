package testdb

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"syscall"
)

// A Silencer dials TCP connections and, when asked to, makes all of them go silent
// as [DropIncoming] does, which shows a client the same as a network that loses
// its packets. Its Dial is a pgconn.DialFunc:
//
//	var network testdb.Silencer
//	config.DialFunc = network.Dial
//
// The zero value is ready to use. Its methods are safe for concurrent use.
type Silencer struct {
	mu      sync.Mutex
	silent  bool
	sockets []syscall.RawConn // including some that are closed by now
}

// Dial dials as a [net.Dialer] does. While the Silencer is silent, the answer to
// the attempt is lost too, so that it lasts until ctx ends, or Restore lets the
// next try through.
func (s *Silencer) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	if !strings.HasPrefix(network, "tcp") {
		return nil, fmt.Errorf("testdb: dial %s: only TCP can be silenced", network)
	}
	dialer := net.Dialer{Control: func(_, _ string, socket syscall.RawConn) error {
		return s.add(socket)
	}}
	return dialer.DialContext(ctx, network, address)
}

// Silence makes all connections go silent that Dial has made, is making and will
// make.
func (s *Silencer) Silence() error { return s.set(true, dropPackets) }

// Restore ends the silence. Connections that have survived it go on.
func (s *Silencer) Restore() error { return s.set(false, passPackets) }

// add is told of a socket before it connects.
func (s *Silencer) add(socket syscall.RawConn) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sockets = append(s.sockets, socket)
	if !s.silent {
		return nil
	}
	return dropPackets(socket)
}

func (s *Silencer) set(silent bool, change func(syscall.RawConn) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.silent = silent
	var open []syscall.RawConn
	var errs []error
	for _, socket := range s.sockets {
		err := change(socket)
		if errors.Is(err, net.ErrClosed) {
			continue
		}
		open = append(open, socket)
		errs = append(errs, err)
	}
	s.sockets = open
	return errors.Join(errs...)
}
