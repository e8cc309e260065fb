package locktest

import (
	"context"
	"errors"

	"github.com/sqllock/toolkit/sqllock"
)

// failure is an error of a helper process: its text, and what it matches.
type failure struct {
	Text    string
	Matches []string
}

var sentinels = map[string]error{
	"not acquired": sqllock.ErrNotAcquired,
	"lost":         sqllock.ErrLost,
	"released":     sqllock.ErrReleased,
	"closed":       sqllock.ErrClosed,
	"expired":      sqllock.ErrExpired,
	"evicted":      sqllock.ErrEvicted,
	"forced":       sqllock.ErrForced,
	"deadline":     context.DeadlineExceeded,
}

func newFailure(err error) *failure {
	if err == nil {
		return nil
	}
	f := &failure{Text: err.Error()}
	for name, sentinel := range sentinels {
		if errors.Is(err, sentinel) {
			f.Matches = append(f.Matches, name)
		}
	}
	return f
}

func (f *failure) Error() string { return "in a helper process: " + f.Text }

func (f *failure) Is(target error) bool {
	for _, name := range f.Matches {
		if sentinels[name] == target {
			return true
		}
	}
	return false
}
