package main

import (
	"fmt"
	"os"
	"sync"
	"time"
)

// messages is stderr for all that we say ourselves. Nobody who has something to say is kept waiting: whoever watches over a command must be able to end it
// although the pipe is full and nobody reads from it.
type messages struct {
	file *os.File

	mu      sync.Mutex
	pending []byte        // whole messages that are to be written
	dropped int           // how many more there were after those, without room for them
	idle    chan struct{} // closed when all is written; nil while nobody writes
}

// maxPending is how many bytes may wait until they are written.
const maxPending = 64 << 10

// Write takes a message. It never fails.
func (m *messages) Write(message []byte) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.dropped > 0 || len(m.pending)+len(message) > maxPending {
		m.dropped++
	} else {
		m.pending = append(m.pending, message...)
	}
	if m.idle == nil {
		m.idle = make(chan struct{})
		go m.drain()
	}
	return len(message), nil
}

// drain writes until there is nothing left to write.
func (m *messages) drain() {
	for text := m.take(); len(text) > 0; text = m.take() {
		_, _ = m.file.Write(text) // there is nobody to tell that it failed
	}
}

// take returns what is to be written next. If that is nothing, the next message needs another drain.
func (m *messages) take() []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	text := m.pending
	if m.dropped > 0 {
		text = fmt.Appendf(text, "sqllock: %d messages are missing here, for want of somebody to read them\n", m.dropped)
	}
	m.pending, m.dropped = nil, 0
	if len(text) == 0 {
		close(m.idle)
		m.idle = nil
	}
	return text
}

// flush waits until all is written, but not for ever.
func (m *messages) flush() {
	m.mu.Lock()
	idle := m.idle
	m.mu.Unlock()
	if idle == nil {
		return
	}
	select {
	case <-idle:
	case <-time.After(time.Second):
	}
}
