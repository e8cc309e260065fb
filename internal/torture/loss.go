//go:build linux

package torture

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// loss makes what a client sends get lost on its way, acknowledgements included, without a sound to either side: the packets are
// dropped at the server's end of its connections.
type loss struct {
	port  int          // the server listens there
	dir   string       // where its processes work
	ports map[int]bool // of the client's ends
}

// lose begins. Connections that the client opens from now on are not concerned, so it has to be told to open none.
func lose(address, dir string, client int) (*loss, error) {
	port, err := strconv.Atoi(address[strings.LastIndexByte(address, ':')+1:])
	if err != nil {
		return nil, fmt.Errorf("torture: %w", err)
	}
	l := &loss{port: port, dir: dir, ports: make(map[int]bool)}
	own, err := socketsOf(client)
	if err != nil {
		return nil, err
	}
	all, err := tcpSockets()
	if err != nil {
		return nil, err
	}
	for _, s := range all {
		if _, ok := own[s.inode]; ok && s.remote == port {
			l.ports[s.local] = true
		}
	}
	return l, l.each(func(fd int) error {
		drop := [...]unix.SockFilter{{Code: unix.BPF_RET | unix.BPF_K, K: 0}}
		return unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: uint16(len(drop)), Filter: &drop[0]})
	})
}

// end lets packets through again, where both sides still wait for them.
func (l *loss) end() error {
	return l.each(func(fd int) error {
		err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DETACH_FILTER, 0)
		if errors.Is(err, unix.ENOENT) {
			return nil
		}
		return err
	})
}

// each does something to the server's end of each connection. The server's descriptor is borrowed for that moment only: a connection that
// it closes meanwhile has to be closed.
func (l *loss) each(do func(fd int) error) error {
	all, err := tcpSockets()
	if err != nil {
		return err
	}
	wanted := make(map[string]bool)
	for _, s := range all {
		if s.local == l.port && l.ports[s.remote] {
			wanted[s.inode] = true
		}
	}
	working, err := filepath.Glob("/proc/[0-9]*/cwd")
	if err != nil {
		return fmt.Errorf("torture: %w", err)
	}
	var errs []error
	for _, link := range working {
		if cwd, err := os.Readlink(link); err != nil || cwd != l.dir {
			continue // an error: the process has ended
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(link)))
		if err != nil {
			return fmt.Errorf("torture: %w", err)
		}
		sockets, err := socketsOf(pid)
		if err != nil {
			continue
		}
		for inode, fd := range sockets {
			if wanted[inode] {
				errs = append(errs, borrow(pid, fd, do))
			}
		}
	}
	return errors.Join(errs...)
}

// borrow does something to a descriptor of another process, if both are still there.
func borrow(pid, fd int, do func(fd int) error) error {
	process, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return nil
	}
	defer func() { _ = unix.Close(process) }()
	ours, err := unix.PidfdGetfd(process, fd, 0)
	if errors.Is(err, unix.EPERM) {
		return fmt.Errorf("torture: borrow the server's socket: %w", err)
	}
	if err != nil {
		return nil
	}
	defer func() { _ = unix.Close(ours) }()
	return do(ours)
}

// socketsOf finds the sockets of a process, and their descriptors, by inode.
func socketsOf(pid int) (map[string]int, error) {
	fds, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	if err != nil {
		return nil, fmt.Errorf("torture: %w", err)
	}
	sockets := make(map[string]int)
	for _, name := range fds {
		target, err := os.Readlink(name)
		if err != nil {
			continue // closed
		}
		if inode, ok := strings.CutPrefix(target, "socket:["); ok {
			fd, err := strconv.Atoi(filepath.Base(name))
			if err != nil {
				return nil, fmt.Errorf("torture: %w", err)
			}
			sockets[strings.TrimSuffix(inode, "]")] = fd
		}
	}
	return sockets, nil
}

type tcpSocket struct {
	local, remote int // ports
	inode         string
}

// tcpSockets lists those of the machine: "sl local_address rem_address st tx_queue:rx_queue tr:tm->when retrnsmt uid timeout inode …".
func tcpSockets() ([]tcpSocket, error) {
	file, err := os.Open("/proc/net/tcp")
	if err != nil {
		return nil, fmt.Errorf("torture: %w", err)
	}
	defer file.Close()
	var all []tcpSocket
	lines := bufio.NewScanner(file)
	lines.Scan() // the heading
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 10 {
			continue
		}
		local, err := portOf(fields[1])
		if err != nil {
			return nil, err
		}
		remote, err := portOf(fields[2])
		if err != nil {
			return nil, err
		}
		all = append(all, tcpSocket{local, remote, fields[9]})
	}
	return all, lines.Err()
}

// portOf reads the port of an address such as 0100007F:1F90.
func portOf(address string) (int, error) {
	port, err := strconv.ParseUint(address[strings.IndexByte(address, ':')+1:], 16, 16)
	if err != nil {
		return 0, fmt.Errorf("torture: /proc/net/tcp: %w", err)
	}
	return int(port), nil
}
