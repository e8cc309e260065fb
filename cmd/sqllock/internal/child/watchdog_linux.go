package child

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"sync/atomic"
	"syscall"
	"time"
)

// What makes a process a watchdog: it has this name, no arguments, and an environment of this one variable. No command
// line and no exported variable amounts to that by accident.
const (
	watchdogName = "sqllock-watchdog"
	watchdogEnv  = "SQLLOCK_INTERNAL_WATCHDOG=1"
)

// readyWithin bounds the wait for a new watchdog. It takes a few milliseconds; this is for machines that hardly run at
// all.
const readyWithin = 30 * time.Second

// mainAsks is set once main has called RunWatchdogIfAsked. An executable that does not call it would, started as
// watchdog, run its ordinary main: it might well start a child, and a watchdog, and so on.
var mainAsks atomic.Bool

// RunWatchdogIfAsked must be the first thing that main, or TestMain, does. In a process that [Start] started as its
// watchdog it does not return.
func RunWatchdogIfAsked() {
	if slices.Equal(os.Args, []string{watchdogName}) && slices.Equal(os.Environ(), []string{watchdogEnv}) {
		watch()
		os.Exit(0)
	}
	mainAsks.Store(true)
}

// watch reads the number of a process group from stdin and kills that group at end-of-file. The only end without
// killing is to be killed.
func watch() {
	signal.Ignore(syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGQUIT)
	_, _ = os.Stdout.Write([]byte{1})
	_ = os.Stdout.Close()

	var pgid uint32
	if err := binary.Read(os.Stdin, binary.BigEndian, &pgid); err != nil {
		return // the supervisor died before it had forked the command
	}
	_, _ = io.Copy(io.Discard, os.Stdin)
	_ = syscall.Kill(-int(pgid), syscall.SIGKILL)
}

// watchdog is the supervisor's view of the other process.
type watchdog struct {
	process *os.Process
	orders  *os.File // the only writing end: CLOEXEC keeps it from the command
}

func startWatchdog() (_ *watchdog, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("child: start watchdog: %w", err)
		}
	}()
	if !mainAsks.Load() {
		return nil, errors.New("main has not called RunWatchdogIfAsked")
	}
	ordersRead, orders, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer ordersRead.Close()
	ready, readyWrite, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(err, orders.Close())
	}
	defer ready.Close()
	defer readyWrite.Close()
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		return nil, errors.Join(err, orders.Close())
	}
	defer null.Close()

	// None of our own descriptors goes along: a watchdog that held our stdout would keep a pipeline waiting for its
	// end.
	process, err := os.StartProcess("/proc/self/exe", []string{watchdogName}, &os.ProcAttr{
		Dir:   "/", // do not keep a file system busy
		Env:   []string{watchdogEnv},
		Files: []*os.File{ordersRead, readyWrite, null},
		Sys:   &syscall.SysProcAttr{Setsid: true}, // neither ^C nor the end of our session concerns it
	})
	if err != nil {
		return nil, errors.Join(err, orders.Close())
	}
	dog := &watchdog{process: process, orders: orders}
	_ = readyWrite.Close() // else its death would not end the read
	if err := awaitReady(ready); err != nil {
		dog.dismiss()
		return nil, err
	}
	return dog, nil
}

func awaitReady(ready *os.File) error {
	if err := ready.SetReadDeadline(time.Now().Add(readyWithin)); err != nil {
		return err
	}
	_, err := io.ReadFull(ready, make([]byte, 1))
	return err
}

// guard tells the watchdog which process group to kill. A pipe takes these few bytes at once or not at all.
func (w *watchdog) guard(pgid int) error {
	if err := binary.Write(w.orders, binary.BigEndian, uint32(pgid)); err != nil {
		return fmt.Errorf("child: tell watchdog: %w", err)
	}
	return nil
}

// dismiss ends the watchdog without it killing anybody. Kill first, close afterwards: a process with a pending SIGKILL
// never comes to read the end-of-file.
func (w *watchdog) dismiss() {
	_ = w.process.Kill()
	_, _ = w.process.Wait()
	_ = w.orders.Close()
}
