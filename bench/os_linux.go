//go:build linux

package main

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// dieWithUs has the kernel kill a server when this program ends, in whatever way: when the thread ends that has started it.
func dieWithUs(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL}
}

// monotonic is a clock that all processes of a machine share.
func monotonic() time.Duration {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		panic(err) // there is no Linux without it
	}
	return time.Duration(now.Nano())
}

// Of the states of a connection, as the kernel writes them.
const (
	established = "01"
	closeWait   = "08" // the client has gone, and the server has not noticed yet
)

// connections counts the TCP connections that a server has in some states: the kernel counts alike for all servers.
func connections(port int, states ...string) (n int, err error) {
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		f, err := os.Open(table)
		if err != nil {
			return 0, err
		}
		defer f.Close()
		// Each line is "index: local-address:port remote-address:port state …", in hexadecimal.
		local := fmt.Sprintf(":%04X", port)
		lines := bufio.NewScanner(f)
		for lines.Scan() {
			fields := strings.Fields(lines.Text())
			if len(fields) > 3 && strings.HasSuffix(fields[1], local) && slices.Contains(states, fields[3]) {
				n++
			}
		}
		if err := lines.Err(); err != nil {
			return 0, err
		}
	}
	return n, nil
}

// fileSystem names the type of file system on which dir is: on some, fsync means nothing.
func fileSystem(dir string) string {
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil {
		return err.Error()
	}
	switch fs.Type {
	case unix.EXT4_SUPER_MAGIC:
		return "ext4"
	case unix.XFS_SUPER_MAGIC:
		return "xfs"
	case unix.BTRFS_SUPER_MAGIC:
		return "btrfs"
	case unix.OVERLAYFS_SUPER_MAGIC:
		return "overlayfs"
	case unix.TMPFS_MAGIC:
		return "tmpfs, WHERE NO COMMIT WAITS FOR A DISK"
	}
	return "a file system of type 0x" + strconv.FormatInt(fs.Type, 16)
}
