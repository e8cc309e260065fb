package testdb

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// ownSession keeps the signals of this process's terminal away from cmd.
func ownSession(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
}

// asServer makes cmd a program of the server that lives in dir: it works there,
// in a session of its own, and not as root.
func asServer(cmd *exec.Cmd, dir string) error {
	credential, err := serverUser()
	if err != nil {
		return err
	}
	cmd.Dir = dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C", "TZ=UTC"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Credential: credential}
	return nil
}

// handOver gives dir to the user that servers run as.
func handOver(dir string) error {
	credential, err := serverUser()
	if err != nil || credential == nil {
		return err
	}
	if err := os.Chown(dir, int(credential.Uid), int(credential.Gid)); err != nil {
		return fmt.Errorf("testdb: hand over the server's directory: %w", err)
	}
	return nil
}

// parentOfHomes is where TMPDIR says. Without it, that is memory if there is
// plenty: to make or copy a data directory of a thousand files takes a fraction
// of the time that it takes on many a disk.
func parentOfHomes() string {
	const (
		memory = "/dev/shm"
		plenty = 4 << 30
		tmpfs  = 0x01021994
	)
	var fs syscall.Statfs_t
	if os.Getenv("TMPDIR") != "" || syscall.Statfs(memory, &fs) != nil ||
		fs.Type != tmpfs || fs.Bavail*uint64(fs.Bsize) < plenty {
		return os.TempDir()
	}
	return memory
}

// serverUser returns the user that servers run as, or nil for the current one,
// which is right for everybody but root.
var serverUser = sync.OnceValues(func() (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	var account *user.User
	var err error
	for _, name := range []string{"postgres", "mysql", "nobody"} {
		if account, err = user.Lookup(name); err == nil {
			break
		}
	}
	if err != nil {
		return nil, fmt.Errorf("testdb: a server must not run as root, and there is no user postgres, mysql or nobody: %w", err)
	}
	uid, err := strconv.ParseUint(account.Uid, 10, 32)
	if err != nil {
		return nil, fmt.Errorf("testdb: user %s: %w", account.Username, err)
	}
	gid, err := strconv.ParseUint(account.Gid, 10, 32)
	if err != nil {
		return nil, fmt.Errorf("testdb: user %s: %w", account.Username, err)
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
})

// killServer ends all processes of the server in dir at one blow, as a power cut
// would, and returns when they and the memory that they shared are gone.
func killServer(dir string) error {
	// Frozen first, no process sees another one's death and reacts to it.
	if err := freezeServer(dir); err != nil {
		return err
	}
	giveUp := time.Now().Add(10 * time.Second)
	for {
		pids, err := processesIn(dir)
		if err != nil {
			return err
		}
		if len(pids) == 0 {
			return freePostgresMemory(dir)
		}
		if time.Now().After(giveUp) {
			return fmt.Errorf("testdb: processes %v in %s survive SIGKILL", pids, dir)
		}
		if err := signalAll(pids, syscall.SIGKILL); err != nil {
			return err
		}
		time.Sleep(time.Millisecond)
	}
}

// awaitIdle returns when no process works in dir, or after a time that is ample
// for a program that ends by itself.
func awaitIdle(dir string) {
	for giveUp := time.Now().Add(20 * time.Second); time.Now().Before(giveUp); time.Sleep(5 * time.Millisecond) {
		if pids, err := processesIn(dir); err != nil || len(pids) == 0 {
			return
		}
	}
}

// freezeServer stops all processes of the server in dir: connections stay open
// and nobody answers.
func freezeServer(dir string) error {
	frozen := make(map[int]bool)
	for {
		pids, err := processesIn(dir)
		if err != nil {
			return err
		}
		// A process may have been forked after the list was made. It is on the
		// next one, and frozen processes do not fork.
		grown := false
		for _, pid := range pids {
			grown = grown || !frozen[pid]
			frozen[pid] = true
		}
		if !grown {
			awaitStop(pids)
			return nil
		}
		if err := signalAll(pids, syscall.SIGSTOP); err != nil {
			return err
		}
	}
}

// awaitStop returns when no thread of the processes runs any more: the signal is
// sent at once, but on another processor a thread may go on for a moment, and
// answer. A thread that the kernel keeps is not waited for forever.
func awaitStop(pids []int) {
	for giveUp := time.Now().Add(5 * time.Second); time.Now().Before(giveUp); time.Sleep(time.Millisecond) {
		if !slices.ContainsFunc(pids, func(pid int) bool {
			threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
			return slices.ContainsFunc(threads, runs)
		}) {
			return
		}
	}
}

// runs reads the state in a thread's stat, which it cannot if the thread has ended.
func runs(path string) bool {
	stat, err := os.ReadFile(path)
	if err != nil {
		return false
	}
	state := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])[0]
	return !bytes.ContainsAny(state, "TtZX")
}

// thawServer undoes freezeServer.
func thawServer(dir string) error {
	pids, err := processesIn(dir)
	if err != nil {
		return err
	}
	return signalAll(pids, syscall.SIGCONT)
}

func signalAll(pids []int, signal syscall.Signal) error {
	for _, pid := range pids {
		if err := syscall.Kill(pid, signal); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("testdb: send %v to %d: %w", signal, pid, err)
		}
	}
	return nil
}

// processesIn lists the processes whose working directory is dir or below it.
// That finds all processes of a server, however they descend from each other and
// whichever of them still live: they are started in dir, and a server stays in
// its data directory.
//
// It leaves out whoever has a terminal. Servers have none, and a developer whose
// shell stands in dir to look around wants to keep that shell.
func processesIn(dir string) ([]int, error) {
	links, err := filepath.Glob("/proc/[0-9]*/cwd")
	if err != nil {
		return nil, fmt.Errorf("testdb: %w", err)
	}
	var pids []int
	for _, link := range links {
		// Errors mean: another user's process, a zombie, or one that has ended.
		cwd, err := os.Readlink(link)
		if err != nil || cwd != dir && !strings.HasPrefix(cwd, dir+"/") {
			continue
		}
		stat, err := os.ReadFile(filepath.Join(filepath.Dir(link), "stat"))
		if err != nil || hasTerminal(stat) {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(link)))
		if err != nil {
			return nil, fmt.Errorf("testdb: %w", err)
		}
		pids = append(pids, pid)
	}
	return pids, nil
}

// hasTerminal reads the tty_nr of a /proc/PID/stat: "pid (command) state ppid
// pgrp session tty_nr …", where a command may contain blanks and parentheses.
func hasTerminal(stat []byte) bool {
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	const ttyNr = 4
	return len(fields) > ttyNr && string(fields[ttyNr]) != "0"
}
