package mysql

import (
	"fmt"
	"time"

	"github.com/sqllock/toolkit/sqllock"
)

// namedOptions are those of Named alone.
type namedOptions struct {
	given   string // one that was
	timeout time.Duration
	parked  int
	tokens  bool
}

// SessionTimeout is how long the server keeps the locks of a [Named] session from which it hears nothing: of a process that is stopped, or cannot be
// reached. The holder gives up after 8/15 of it. The default is 15 s; whole seconds, from 3 s to an hour.
func SessionTimeout(d time.Duration) Option {
	return func(o *options) {
		o.named.given, o.named.timeout = "SessionTimeout", d
		if d < 3*time.Second || d > time.Hour || d%time.Second != 0 {
			o.err = fmt.Errorf("%w: mysql: SessionTimeout(%v): the duration is between 3s and 1h, in whole seconds", sqllock.ErrInvalid, d)
		}
	}
}

// MaxParked is how many connections one Client of [Named] opens at most beside the one that carries its locks: each waits in the server for one
// name, and keeps the lock of that name until it is released. Names for which there is none left are tried every 100 ms (see [Poll]), all in one
// statement. The default is 8.
func MaxParked(n int) Option {
	return func(o *options) {
		o.named.given, o.named.parked = "MaxParked", n
		if n < 0 || n > 1000 {
			o.err = fmt.Errorf("%w: mysql: MaxParked(%d): between 0 and 1000", sqllock.ErrInvalid, n)
		}
	}
}

// WithTokens has [Named] give fencing tokens, and makes its Guard possible. Each acquisition then costs a commit, on a further connection, and
// the toolkit's schema must be installed. All processes that guard with a lock must use it.
func WithTokens() Option {
	return func(o *options) { o.named.given, o.named.tokens = "WithTokens", true }
}
