package testdb

import (
	"errors"
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"
)

// dropPackets attaches to a socket the packet filter that accepts no byte of any
// packet. The filter comes before TCP has seen the packet.
func dropPackets(socket syscall.RawConn) error {
	program := [...]unix.SockFilter{{Code: unix.BPF_RET | unix.BPF_K, K: 0}}
	return onSocket(socket, func(fd int) error {
		return unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER,
			&unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]})
	})
}

// passPackets undoes dropPackets, or does nothing.
func passPackets(socket syscall.RawConn) error {
	return onSocket(socket, func(fd int) error {
		err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DETACH_FILTER, 0)
		if errors.Is(err, unix.ENOENT) { // there is none
			return nil
		}
		return err
	})
}

func onSocket(socket syscall.RawConn, do func(fd int) error) error {
	var err error
	// If the connection is closed, this error is net.ErrClosed.
	if gone := socket.Control(func(fd uintptr) { err = do(int(fd)) }); gone != nil {
		return fmt.Errorf("testdb: %w", gone)
	}
	if err != nil {
		return fmt.Errorf("testdb: packet filter: %w", err)
	}
	return nil
}
