package named

import (
	"context"
	"iter"
)

// talk is the driver of one link at work, in a coroutine. It is suspended where the driver waits for the network, and between statements. So whoever
// asks need not hand the statement to another goroutine, which takes longer than the rest of our work, to be able to leave before it is answered.
type talk struct {
	wire *wire
	next func() (answered, running bool)
	stop func()
	job  *batch // what is worked on
	busy bool   // it has begun, and is not answered
}

func newTalk(w *wire) *talk {
	t := &talk{wire: w}
	t.next, t.stop = iter.Pull(func(yield func(bool) bool) {
		w.wait = func() bool { return yield(false) }
		defer func() { w.wait = nil }()
		for running := true; running; running = yield(true) {
			t.job.failed = t.job.ask()
		}
	})
	return t
}

// ask works on a batch until it is answered, or ctx ends. Then whoever calls it next goes on.
func (t *talk) ask(ctx context.Context, b *batch) (answered bool) {
	if !t.busy {
		t.job, t.busy = b, true
		t.busy = !t.step()
	}
	for t.busy {
		if !t.wire.fill(ctx) {
			return false
		}
		t.busy = !t.step()
	}
	return true
}

// step goes on until the driver needs something, or has answered.
func (t *talk) step() (answered bool) {
	answered, _ = t.next()
	return answered
}
