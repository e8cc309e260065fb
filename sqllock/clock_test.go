package sqllock

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestSystemClockNeverGoesBack(t *testing.T) {
	var last time.Duration
	for range 100_000 {
		now := SystemClock.Now()
		if now < last {
			t.Fatalf("%v after %v", now, last)
		}
		last = now
	}
}

// What one goroutine has seen, another one does not undercut afterwards.
func TestSystemClockNeverGoesBackBetweenGoroutines(t *testing.T) {
	ticks := make(chan time.Duration)
	go func() {
		defer close(ticks)
		for range 1_000 {
			ticks <- SystemClock.Now()
		}
	}()
	for seen := range ticks {
		require.GreaterOrEqual(t, SystemClock.Now(), seen)
	}
}

func TestSystemClockRunsAsFastAsTime(t *testing.T) {
	wall, from := time.Now(), SystemClock.Now()
	fired := make(chan struct{})
	SystemClock.AfterFunc(20*time.Millisecond, func() { close(fired) })
	<-fired
	took := SystemClock.Now() - from
	assert.GreaterOrEqual(t, took, 20*time.Millisecond-time.Microsecond)
	assert.LessOrEqual(t, took, time.Since(wall)+time.Millisecond)
}
