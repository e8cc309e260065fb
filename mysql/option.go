package mysql

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/sqllock/toolkit/sqllock"
)

// Option shapes a backend.
type Option func(*options)

type options struct {
	namespace string
	database  string
	poll      time.Duration
	named     namedOptions
	err       error
}

// Namespace keeps the names of one application apart from those of others in the same database. The default is empty.
func Namespace(namespace string) Option {
	return func(o *options) {
		o.namespace = namespace
		if err := sqllock.CheckNamespace(namespace); err != nil {
			o.err = err
		}
	}
}

// Database is where the toolkit's tables are. The default is the DBName of the configuration.
func Database(name string) Option {
	return func(o *options) {
		o.database = name
		if !identifier(name) {
			o.err = fmt.Errorf("%w: mysql: Database(%q) is not the name of a database", sqllock.ErrInvalid, name)
		}
	}
}

// Poll is how long a waiter sleeps at most before it tries again although nothing was pushed to it.
func Poll(d time.Duration) Option {
	return func(o *options) {
		o.poll = d
		if d < time.Millisecond || d > time.Minute {
			o.err = fmt.Errorf("%w: mysql: Poll(%v): the duration is between 1ms and 1m", sqllock.ErrInvalid, d)
		}
	}
}

func newOptions(opts []Option) options {
	o := options{poll: 500 * time.Millisecond, named: namedOptions{timeout: 15 * time.Second, parked: 8}}
	for _, opt := range opts {
		opt(&o)
	}
	return o
}

// identifier tells whether name can be that of a database, once it is quoted
// (https://dev.mysql.com/doc/refman/8.4/en/identifiers.html).
func identifier(name string) bool {
	n := utf8.RuneCountInString(name)
	return n > 0 && n <= 64 && utf8.ValidString(name) && !strings.ContainsFunc(name, func(r rune) bool { return r == 0 || r > 0xffff })
}

func quote(identifier string) string { return "`" + strings.ReplaceAll(identifier, "`", "``") + "`" }
