package postgres

import (
	"fmt"
	"strings"
	"time"

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
	err       error
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
		if name == "" || len(name) > 63 || strings.IndexByte(name, 0) >= 0 {
			o.err = fmt.Errorf("%w: postgres: Schema(%q) is not the name of a schema", sqllock.ErrInvalid, name)
		}
	}
}

// NoListen does without LISTEN, which a pooler in transaction mode swallows: waiters then poll every 100 ms instead of every
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

func newOptions(opts []Option) options {
	o := options{schema: "public"}
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
