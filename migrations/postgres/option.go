package postgres

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/sqllock/toolkit/sqllock"
)

// An Option changes what the functions of this package work on.
type Option func(*options)

type options struct {
	schema string
	err    error // of an option
}

func newOptions(opts []Option) options {
	o := options{schema: "public"}
	for _, opt := range opts {
		opt(&o)
	}
	return o
}

// Schema is the PostgreSQL schema of the tables, instead of public; search_path plays no part. The name is taken as it is,
// without quotes and without folding to lower case. The schema is not created: who owns it and who may use it is not for a
// lock library to decide. Give the backend the same schema.
//
// With a name that cannot be one, every function returns an error that matches [sqllock.ErrInvalid].
func Schema(name string) Option {
	return func(o *options) {
		o.schema = name
		if name == "" || len(name) > 63 || strings.IndexByte(name, 0) >= 0 || !utf8.ValidString(name) {
			o.err = fmt.Errorf("%w: Schema(%q) is not the name of a schema", sqllock.ErrInvalid, name)
		}
	}
}
