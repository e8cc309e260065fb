//go:build !linux

package sqllock

import (
	"sync/atomic"
	"time"
)

var (
	start  = time.Now()
	latest atomic.Int64
)

// now is the larger of what the monotonic and the wall clock have advanced: the first stands still while some systems
// are suspended, the second can be set back. Too early an end of a lease is safe, too late a one is not.
func now() time.Duration {
	t := time.Now()
	n := int64(max(t.Sub(start), t.Round(0).Sub(start.Round(0))))
	for {
		last := latest.Load()
		if n <= last {
			return time.Duration(last)
		}
		if latest.CompareAndSwap(last, n) {
			return time.Duration(n)
		}
	}
}
