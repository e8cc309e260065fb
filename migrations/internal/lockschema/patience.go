package lockschema

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"
)

// The pauses between attempts double from the first to the longest. A migration of this schema takes milliseconds, but
// whoever else holds the lock may take hours.
const (
	firstPause   = 2 * time.Millisecond
	longestPause = 250 * time.Millisecond
)

// patiently calls attempt until its error is no longer busy, or ctx ends.
func patiently(ctx context.Context, busy func(error) bool, attempt func() error) error {
	for pause := firstPause; ; pause = min(2*pause, longestPause) {
		err := attempt()
		if err == nil || ctx.Err() == nil && !busy(err) {
			return err
		}
		// Those who began to wait together must not ask together for ever.
		timer := time.NewTimer(pause/2 + rand.N(pause/2))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return fmt.Errorf("%w (at last: %w)", context.Cause(ctx), err)
		}
	}
}
