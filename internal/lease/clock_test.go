package lease

import (
	"sync"
	"testing/synctest"
	"time"

	"github.com/sqllock/toolkit/sqllock"
)

// bubbleClock is the time of a synctest bubble, which stands still until the test lets it pass, and counts the timers that are armed.
type bubbleClock struct {
	start time.Time

	mu        sync.Mutex
	suspended time.Duration
	armed     map[*bubbleTimer]bool
}

func newBubbleClock() *bubbleClock {
	return &bubbleClock{start: time.Now().Add(-time.Hour), armed: make(map[*bubbleTimer]bool)}
}

func (c *bubbleClock) Now() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Since(c.start) + c.suspended
}

// pass lets d go by, and returns when nothing moves any more.
func (c *bubbleClock) pass(d time.Duration) {
	synctest.Wait() // what is under way happens at this instant and not at a later one
	time.Sleep(d)
	synctest.Wait()
}

// suspend moves the clock as for a machine that sleeps: timers do not see it.
func (c *bubbleClock) suspend(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.suspended += d
}

func (c *bubbleClock) armedTimers() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.armed)
}

func (c *bubbleClock) AfterFunc(d time.Duration, f func()) sqllock.Timer {
	t := &bubbleTimer{clock: c}
	t.set(true)
	t.timer = time.AfterFunc(d, func() {
		t.set(false)
		f()
	})
	return t
}

type bubbleTimer struct {
	clock *bubbleClock
	timer *time.Timer
}

func (t *bubbleTimer) set(armed bool) {
	t.clock.mu.Lock()
	defer t.clock.mu.Unlock()
	if armed {
		t.clock.armed[t] = true
	} else {
		delete(t.clock.armed, t)
	}
}

func (t *bubbleTimer) Stop() bool {
	t.set(false)
	return t.timer.Stop()
}

func (t *bubbleTimer) Reset(d time.Duration) bool {
	t.set(true)
	return t.timer.Reset(d)
}
