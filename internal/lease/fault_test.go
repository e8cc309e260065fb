package lease

import (
	"context"
	"errors"
	"testing/synctest"
)

// fault decides what becomes of one call to a Store. carryOut has the effect of the call on the table; without it there is none. An
// error is all that the caller gets to see.
type fault func(ctx context.Context, carryOut func()) error

var (
	errWire      = errors.New("the connection broke")
	errPermanent = errors.New("there is no such table")
)

func prompt(ctx context.Context, carryOut func()) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	carryOut()
	return nil
}

// fail: the request never arrives.
func fail(context.Context, func()) error { return errWire }

// failForGood answers that trying again is pointless.
func failForGood(context.Context, func()) error { return errPermanent }

// loseReply: the request is carried out, and nobody learns of it.
func loseReply(_ context.Context, carryOut func()) error {
	carryOut()
	return errWire
}

// hang: nothing arrives, and no error comes before the caller gives up.
func hang(ctx context.Context, _ func()) error {
	<-ctx.Done()
	return context.Cause(ctx)
}

// gate holds calls until the test lets them go on.
type gate struct{ open chan struct{} }

func newGate() *gate { return &gate{make(chan struct{})} }

// pass lets go what is held, and returns when nothing moves any more.
func (g *gate) pass() {
	close(g.open)
	synctest.Wait()
}

// slowRequest is carried out when the gate opens.
func (g *gate) slowRequest(ctx context.Context, carryOut func()) error {
	select {
	case <-g.open:
		carryOut()
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// slowReply: the request is carried out at once, and the reply arrives when the gate opens.
func (g *gate) slowReply(ctx context.Context, carryOut func()) error {
	carryOut()
	select {
	case <-g.open:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// deaf is slowRequest of a driver that does not look at the context.
func (g *gate) deaf(_ context.Context, carryOut func()) error {
	<-g.open
	carryOut()
	return nil
}

// late: the caller is told of a failure at once, and the server carries the request out when the gate opens.
func (g *gate) late(_ context.Context, carryOut func()) error {
	go func() {
		<-g.open
		carryOut()
	}()
	return errWire
}
