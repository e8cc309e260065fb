package mysql

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/sqllock/toolkit/sqllock"
)

// An Option changes what the functions of this package work on.
type Option func(*options)

type options struct {
	database string // empty: that of the connection
	err      error  // of an option
}

func newOptions(opts []Option) options {
	var o options
	for _, opt := range opts {
		opt(&o)
	}
	return o
}

// Database is where the tables are, instead of the database that the connections of the *sql.DB begin in. It is not created. Give the
// backend the same.
//
// With a name that cannot be one, every function returns an error that matches [sqllock.ErrInvalid].
func Database(name string) Option {
	return func(o *options) {
		o.database = name
		n := utf8.RuneCountInString(name)
		if n == 0 || n > 64 || !utf8.ValidString(name) || strings.IndexByte(name, 0) >= 0 {
			o.err = fmt.Errorf("%w: Database(%q) is not the name of a database", sqllock.ErrInvalid, name)
		}
	}
}
