package sqllock

import "time"

// Clock is what deadlines are measured with in this process. Tests may give their own with [WithClock].
type Clock interface {
	// Now is the time since a fixed instant. It never goes back and counts the time during which the machine was
	// suspended, because a lease runs out in the database all the same.
	Now() time.Duration

	// AfterFunc calls f in a goroutine of its own after d. It may be late: a stopped process runs no timers.
	AfterFunc(d time.Duration, f func()) Timer
}

// Timer is the part of [time.Timer] that a [Clock] must offer.
type Timer interface {
	Stop() bool
	Reset(d time.Duration) bool
}

// SystemClock reads CLOCK_BOOTTIME on Linux. Elsewhere it is the monotonic or the wall clock, whichever has advanced more.
var SystemClock Clock = systemClock{}

type systemClock struct{}

func (systemClock) Now() time.Duration { return now() }

func (systemClock) AfterFunc(d time.Duration, f func()) Timer { return time.AfterFunc(d, f) }
