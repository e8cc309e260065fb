package sqlite

import (
	"fmt"
	"time"

	"github.com/sqllock/toolkit/sqllock"
)

// Option shapes a backend.
type Option func(*options)

type options struct {
	namespace string
	poll      time.Duration
	err       error
}

// Namespace keeps the names of one application apart from those of others in the same file. The default is empty.
func Namespace(namespace string) Option {
	return func(o *options) {
		o.namespace = namespace
		if err := sqllock.CheckNamespace(namespace); err != nil {
			o.err = err
		}
	}
}

// Poll is how often a process that holds or waits looks whether the file has changed. The default is 10 ms; a look costs a few
// microseconds and reads no table.
func Poll(d time.Duration) Option {
	return func(o *options) {
		o.poll = d
		if d < time.Millisecond || d > time.Minute {
			o.err = fmt.Errorf("%w: sqlite: Poll(%v): the duration is between 1ms and 1m", sqllock.ErrInvalid, d)
		}
	}
}
