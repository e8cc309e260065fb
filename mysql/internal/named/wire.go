package named

import (
	"context"
	"errors"
	"net"
	"os"
	"sync/atomic"
	"time"
)

// wire is the network connection below the driver's, and what makes it possible to leave the driver alone.
//
// While the driver works on a statement it reads where it needs more, and returns to nobody before it has it. So it does that in a [talk], which is
// suspended there, and whoever waits for the answer reads for it, with fill: they can be called away, and somebody else goes on.
//
// Between statements a wire can read ahead: so the end of a session is seen when it happens, and not when the next statement finds nobody there.
type wire struct {
	net.Conn
	ahead atomic.Pointer[readahead]

	// Of whoever runs the talk.
	wait func() bool // suspends it; nil where there is none
	into []byte      // what the driver wants to have filled
	n    int
	err  error
}

// readahead is a read that nobody has asked for yet.
type readahead struct {
	done chan struct{}
	buf  [1]byte
	n    int
	err  error
}

// watch reads ahead, and then calls seen, from a goroutine of its own. It must not be called while a statement is worked on.
func (w *wire) watch(seen func(*readahead)) {
	r := &readahead{done: make(chan struct{})}
	w.ahead.Store(r)
	go func() {
		for {
			r.n, r.err = w.Conn.Read(r.buf[:])
			if !errors.Is(r.err, os.ErrDeadlineExceeded) {
				break
			}
			w.heed()
		}
		close(r.done)
		seen(r)
	}()
}

// unasked tells whether what was read ahead has answered nobody.
func (w *wire) unasked(r *readahead) bool { return w.ahead.Load() == r }

// Read implements [net.Conn].
func (w *wire) Read(p []byte) (int, error) {
	if w.wait == nil {
		return w.Conn.Read(p)
	}
	w.into = p
	if !w.wait() {
		return 0, net.ErrClosed
	}
	return w.n, w.err
}

// fill reads what the driver wants. It reports whether it has, or ctx has ended before.
func (w *wire) fill(ctx context.Context) bool {
	if r := w.ahead.Load(); r != nil {
		select {
		case <-r.done:
		case <-ctx.Done():
			return false
		}
		w.ahead.Store(nil)
		w.n, w.err = copy(w.into, r.buf[:r.n]), r.err
		return true
	}
	if ctx.Done() != nil {
		stop := context.AfterFunc(ctx, func() { _ = w.SetReadDeadline(time.Unix(1, 0)) })
		defer stop() // if that comes too late, whoever reads next finds a deadline that is not meant for them
	}
	for {
		w.n, w.err = w.Conn.Read(w.into)
		if !errors.Is(w.err, os.ErrDeadlineExceeded) {
			return true
		}
		w.heed()
		if ctx.Err() != nil {
			return false
		}
	}
}

// heed takes away the deadline by which somebody was called away.
func (w *wire) heed() { _ = w.SetReadDeadline(time.Time{}) }
