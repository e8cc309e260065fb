package testdb

import (
	"errors"
	"fmt"
	"net"
	"syscall"
)

// DropIncoming makes a TCP connection go silent, also one below TLS: the kernel
// drops every packet that arrives for it, acknowledgements included, and so never
// acknowledges anything either. Neither side gets an error before its own timeouts
// say so. What is written to conn still leaves, and the other side still receives
// it, which is what it is like if the way back is lost.
//
// restore lets packets arrive again; what was lost comes when the other side next
// repeats it, after an instant that doubles with each try. It is nothing if conn
// is closed or restored already.
//
// It works on Linux, and is an error elsewhere.
func DropIncoming(conn net.Conn) (restore func() error, err error) {
	socket, err := tcpSocket(conn)
	if err != nil {
		return nil, err
	}
	if err := dropPackets(socket); err != nil {
		return nil, err
	}
	return func() error {
		if err := passPackets(socket); err != nil && !errors.Is(err, net.ErrClosed) {
			return err
		}
		return nil
	}, nil
}

// tcpSocket finds the socket of a connection below whatever wraps it as TLS does.
func tcpSocket(conn net.Conn) (syscall.RawConn, error) {
	for {
		wrapper, ok := conn.(interface{ NetConn() net.Conn })
		if !ok {
			break
		}
		conn = wrapper.NetConn()
	}
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return nil, fmt.Errorf("testdb: a %T is no TCP connection", conn)
	}
	socket, err := tcp.SyscallConn()
	if err != nil {
		return nil, fmt.Errorf("testdb: %w", err)
	}
	return socket, nil
}
