package named

import (
	"net"
	"sync/atomic"
)

// wire is the network connection below the driver's. The driver reads only when it has asked something; between questions a wire can read
// ahead, and so the end of a session is seen when it happens, and not when the next question finds nobody there.
type wire struct {
	net.Conn
	ahead atomic.Pointer[readahead]
}

// readahead is a read that nobody has asked for yet.
type readahead struct {
	done chan struct{}
	buf  [1]byte
	n    int
	err  error
}

// watch reads ahead, and then calls seen, from a goroutine of its own. It must not be called while the driver may read.
func (w *wire) watch(seen func(*readahead)) {
	r := &readahead{done: make(chan struct{})}
	w.ahead.Store(r)
	go func() {
		r.n, r.err = w.Conn.Read(r.buf[:])
		close(r.done)
		seen(r)
	}()
}

// unasked tells whether what was read ahead has answered nobody.
func (w *wire) unasked(r *readahead) bool { return w.ahead.Load() == r }

// Read implements [net.Conn].
func (w *wire) Read(p []byte) (int, error) {
	r := w.ahead.Load()
	if r == nil {
		return w.Conn.Read(p)
	}
	<-r.done
	if r.n > 0 && len(p) == 0 {
		return 0, nil
	}
	w.ahead.Store(nil)
	return copy(p, r.buf[:r.n]), r.err
}
