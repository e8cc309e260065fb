package testdb

import (
	"context"
	"net"
	"sync"
)

// Latency is between a server and those who dial through it: while it is held, what the server says arrives nowhere. What is said to the
// server does. So a test can have something happen between an answer and its arrival.
type Latency struct {
	mu      sync.Mutex
	arrives chan struct{} // closed when it does
	closing func()
	unread  int // so many messages are on their way
}

// NewLatency is none yet.
func NewLatency() *Latency {
	l := &Latency{arrives: make(chan struct{}), closing: func() {}}
	close(l.arrives)
	return l
}

// Dial connects, as a dial function of a driver.
func (l *Latency) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	return &distant{Conn: conn, latency: l, closed: make(chan struct{})}, nil
}

// Hold keeps everything from arriving until End.
func (l *Latency) Hold() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.arrives = make(chan struct{})
}

// End lets everything arrive.
func (l *Latency) End() {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-l.arrives:
	default:
		close(l.arrives)
	}
}

// Answered tells whether a server has said something that has not arrived.
func (l *Latency) Answered() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.unread > 0
}

// OnClose has f called when a connection is about to be closed by its client.
func (l *Latency) OnClose(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closing = f
}

func (l *Latency) now() (arrives chan struct{}, closing func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.arrives, l.closing
}

func (l *Latency) count(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.unread += n
}

// distant is a connection with a latency.
type distant struct {
	net.Conn
	latency *Latency
	closed  chan struct{}
	once    sync.Once
}

func (d *distant) Read(p []byte) (int, error) {
	n, err := d.Conn.Read(p)
	d.latency.count(+1)
	defer d.latency.count(-1)
	arrives, _ := d.latency.now()
	select {
	case <-arrives:
		return n, err
	case <-d.closed:
		return 0, net.ErrClosed
	}
}

func (d *distant) Close() error {
	d.once.Do(func() {
		_, closing := d.latency.now()
		closing()
		close(d.closed)
	})
	return d.Conn.Close()
}
