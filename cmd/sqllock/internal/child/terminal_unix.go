//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package child

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// terminal is our controlling terminal, whose foreground is either our process group or the command's. A nil one is
// no terminal.
type terminal struct {
	fd    int
	ours  int
	stops chan os.Signal // our own SIGTSTPs
}

func openTerminal() *terminal {
	fd, err := unix.Open("/dev/tty", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil
	}
	return &terminal{fd: fd, ours: unix.Getpgrp(), stops: make(chan os.Signal, 1)}
}

func (t *terminal) close() {
	if t != nil {
		_ = unix.Close(t.fd)
	}
}

// attr makes the command leader of a process group, and that the foreground group if it should have the terminal from
// its first instruction on.
func (t *terminal) attr(files []*os.File) *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Setpgid: true}
	if t != nil && t.foreground() == t.ours && isControllingTerminal(files[0]) && !isPipe(files[1]) {
		attr.Foreground, attr.Ctty = true, t.fd
	}
	return attr
}

// isControllingTerminal: the system tells the foreground group of no other.
func isControllingTerminal(file *os.File) bool {
	_, err := unix.IoctlGetInt(int(file.Fd()), unix.TIOCGPGRP)
	return err == nil
}

func isPipe(file *os.File) bool {
	info, err := file.Stat()
	return err == nil && info.Mode()&(os.ModeNamedPipe|os.ModeSocket) != 0
}

func (t *terminal) foreground() int {
	pgid, err := unix.IoctlGetInt(t.fd, unix.TIOCGPGRP)
	if err != nil {
		return 0 // hung up
	}
	return pgid
}

// give makes the group the foreground group. It may fail: the terminal hung up, or the group has ended.
func (t *terminal) give(pgid int) {
	withoutSIGTTOU(func() { _ = unix.IoctlSetPointerInt(t.fd, unix.TIOCSPGRP, pgid) })
}

// takeBack leaves the terminal alone if the group does not have it, for example because the shell does.
func (t *terminal) takeBack(from int) {
	if t != nil && t.foreground() == from {
		t.give(t.ours)
	}
}
