package postgres

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"

	"github.com/sqllock/toolkit/sqllock"
)

// Option shapes a backend.
type Option func(*options)

type options struct {
	namespace string
	schema    string
	poll      time.Duration
	noListen  bool
	session   sessionOptions
	err       error
}

// sessionOptions are those of Advisory alone.
type sessionOptions struct {
	given    string // one that was
	keyFunc  func(name string) int64
	maxLocks int
	timeout  time.Duration
	tokens   bool
	sentinel bool
}

// The intervals at which waiting names are tried although nothing was pushed.
const (
	pollListening = time.Second
	pollBlind     = 100 * time.Millisecond
)

// Namespace keeps the names of one application apart from those of others in the same database. The default is empty.
func Namespace(namespace string) Option {
	return func(o *options) {
		o.namespace = namespace
		if err := sqllock.CheckNamespace(namespace); err != nil {
			o.err = err
		}
	}
}

// Schema is the PostgreSQL schema in which the toolkit's tables are. The default is public; search_path plays no part.
func Schema(name string) Option {
	return func(o *options) {
		o.schema = name
		if name == "" || len(name) > 63 || strings.IndexByte(name, 0) >= 0 || !utf8.ValidString(name) {
			o.err = fmt.Errorf("%w: postgres: Schema(%q) is not the name of a schema", sqllock.ErrInvalid, name)
		}
	}
}

// NoListen has a Table do without LISTEN, which a pooler in transaction mode swallows: waiters then poll every 100 ms instead of every
// second. Everything else is the same.
func NoListen() Option { return func(o *options) { o.noListen = true } }

// Poll is how long a waiter sleeps at most before it tries again although nothing was pushed to it.
func Poll(d time.Duration) Option {
	return func(o *options) {
		o.poll = d
		if d < time.Millisecond || d > time.Minute {
			o.err = fmt.Errorf("%w: postgres: Poll(%v): the duration is between 1ms and 1m", sqllock.ErrInvalid, d)
		}
	}
}

// KeyFunc has [Advisory] lock the keys that f gives for names, instead of those of a hash of namespace and name: to share locks with another
// program that uses pg_advisory_lock(bigint). Names with one key exclude each other. f must always give the same, and is called
// by many goroutines at once. The default is documented in docs/advisory.md, with the expression for psql.
func KeyFunc(f func(name string) int64) Option {
	return func(o *options) {
		o.session.given, o.session.keyFunc = "KeyFunc", f
		if f == nil {
			o.err = fmt.Errorf("%w: postgres: KeyFunc needs a function", sqllock.ErrInvalid)
		}
	}
}

// MaxLocks is how many of the server's locks one Client of [Advisory] takes at most; beyond it Acquire fails with [sqllock.ErrTooMany]. A lock
// costs one, a shared one two, a permit three, and one that has published something one more. The default is 5,000: a default server has room for some 12,000 in all
// (https://www.postgresql.org/docs/current/runtime-config-locks.html), which ordinary statements need too.
func MaxLocks(n int) Option {
	return func(o *options) {
		o.session.given, o.session.maxLocks = "MaxLocks", n
		if n < 3 {
			o.err = fmt.Errorf("%w: postgres: MaxLocks(%d): at least 3", sqllock.ErrInvalid, n)
		}
	}
}

// SessionTimeout is how long the server keeps the locks of an [Advisory] session from which it hears nothing: of a process that is stopped
// (PostgreSQL 14 and later) or cannot be reached. The holder gives up after 8/15 of it. The default is 15 s; between 3 s and an hour.
func SessionTimeout(d time.Duration) Option {
	return func(o *options) {
		o.session.given, o.session.timeout = "SessionTimeout", d
		if d < 3*time.Second || d > time.Hour {
			o.err = fmt.Errorf("%w: postgres: SessionTimeout(%v): the duration is between 3s and 1h", sqllock.ErrInvalid, d)
		}
	}
}

// WithTokens has [Advisory] insist on fencing tokens: where the toolkit's schema is not installed, every call fails with
// [sqllock.ErrSchema]. Without it, tokens are given where the schema is, and are 0 elsewhere.
func WithTokens() Option {
	return func(o *options) { o.session.given, o.session.tokens = "WithTokens", true }
}

// Sentinel has each Client of [Advisory] that waits open a second connection, which waits in the server for the end of the sessions that hold
// what it wants. So it learns of a crash at once, and not with the next poll.
func Sentinel() Option {
	return func(o *options) { o.session.given, o.session.sentinel = "Sentinel", true }
}

func newOptions(opts []Option) options {
	o := options{schema: "public", session: sessionOptions{maxLocks: 5000, timeout: 15 * time.Second}}
	for _, opt := range opts {
		opt(&o)
	}
	if o.poll == 0 {
		o.poll = pollListening
		if o.noListen {
			o.poll = pollBlind
		}
	}
	return o
}

func (o options) quotedSchema() string { return pgx.Identifier{o.schema}.Sanitize() }
