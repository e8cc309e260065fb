package leaderelect

import (
	"errors"

	"github.com/sqllock/toolkit/sqllock"
)

// The sentinels of this package. Errors of the lock and of the database are those of package sqllock.
var (
	// ErrNotLeader is what [Elector.IsLeader] answers wherever this process does not lead.
	ErrNotLeader = errors.New("leaderelect: not the leader")

	// ErrRunning says that the elector has a Run under way.
	ErrRunning = errors.New("leaderelect: already running")

	// ErrResigned is why a term ends that [Elector.Resign] has ended.
	ErrResigned = errors.New("leaderelect: resigned")

	// ErrUnhealthy is why a term ends, or none begins, if [Config.Health] fails. Its error is matched too.
	ErrUnhealthy = errors.New("leaderelect: unhealthy")

	// ErrPanicked is why a term ends if OnElected does not return: it panics, or ends its goroutine.
	ErrPanicked = errors.New("leaderelect: OnElected panicked")
)

// hopeless tells whether campaigning and asking again cannot mend the error.
func hopeless(err error) bool {
	for _, sentinel := range []error{sqllock.ErrInvalid, sqllock.ErrUnsupported, sqllock.ErrClosed, sqllock.ErrSchema} {
		if errors.Is(err, sentinel) {
			return true
		}
	}
	return false
}
