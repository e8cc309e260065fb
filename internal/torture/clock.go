//go:build linux

package torture

import (
	"time"

	"golang.org/x/sys/unix"
)

// now reads CLOCK_MONOTONIC, which is one for all processes of the machine and which nobody sets. It stands still while the
// machine is suspended, for all of them alike.
func now() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		panic("torture: CLOCK_MONOTONIC: " + err.Error())
	}
	return time.Duration(ts.Nano())
}
