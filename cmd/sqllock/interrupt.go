package main

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"syscall"

	"github.com/sqllock/toolkit/cmd/sqllock/internal/child"
)

// catchSignals returns the signals that end the waiting and that the command gets, from now on.
func catchSignals() chan os.Signal {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, child.ForwardedSignals()...) // never none, which to Notify would mean all: TERM is always among them
	return signals
}

// surviveBrokenPipe makes writing to a stderr that nobody reads any more an error like others. By default it ends a Go process, and
// with it would end the command, for want of somebody to listen to us.
func surviveBrokenPipe() { signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE) }

// interruption is the cause of a context that a signal ended.
type interruption struct{ signal os.Signal }

func (i *interruption) Error() string { return "interrupted by signal: " + i.signal.String() }

// exitCode is that of a process which the signal has killed, as shells have it.
func (i *interruption) exitCode() int {
	if number, ok := i.signal.(syscall.Signal); ok {
		return exitSignal + int(number)
	}
	return exitSignal
}

// untilSignal calls f with a context that the first signal ends. A signal that it took makes it fail although f had succeeded; it takes
// no more than one, and none after it has returned.
func untilSignal(ctx context.Context, signals chan os.Signal, f func(context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	finished, gone := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(gone)
		select {
		case sig := <-signals:
			signal.Stop(signals) // a second one ends us at once, in case the database does not let us go
			cancel(&interruption{sig})
		case <-finished:
		}
	}()
	err := f(ctx)
	close(finished)
	<-gone
	var by *interruption
	if !errors.As(context.Cause(ctx), &by) {
		return err
	}
	if err == nil || !errors.As(err, &by) { // the driver's own words for a context that ended help nobody
		err = by
	}
	return &exitError{by.exitCode(), err}
}
