package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/sqllock/toolkit/internal/lease"
	"github.com/sqllock/toolkit/sqllock"
)

// TableBackend keeps leases in a SQLite file. Make one with [Table]. It is safe for concurrent use.
type TableBackend struct {
	opts options
	file *file // of Purge and of WithTx's transactions

	once   sync.Once
	client *sqllock.Client // of WithTx
}

var _ sqllock.Backend = (*TableBackend)(nil)

// Table is the backend of leases in the SQLite file at path, which is made, with its tables, when it does not exist; its directory must.
// The tables can be in a file of their own or in the application's; Guard, LockTx and WithTx need the latter. All processes
// must be on one machine: SQLite's locks do not work over network file systems.
func Table(path string, opts ...Option) *TableBackend {
	o := options{poll: 10 * time.Millisecond}
	for _, opt := range opts {
		opt(&o)
	}
	if path == "" || strings.HasPrefix(path, ":memory:") || strings.IndexByte(path, 0) >= 0 {
		o.err = fmt.Errorf("%w: sqlite: Table(%q) needs the path of a file", sqllock.ErrInvalid, path)
	}
	return &TableBackend{opts: o, file: &file{path: path}}
}

// Capabilities implements [sqllock.Backend].
func (t *TableBackend) Capabilities() sqllock.Capabilities {
	return sqllock.Capabilities{Shared: true, Permits: true, Leases: true, Tokens: true, Metadata: true, Fair: true, MixedPermits: true}
}

// Key implements [sqllock.Backend]: names are what they are.
func (t *TableBackend) Key(name string) string { return name }

// Open implements [sqllock.Backend].
func (t *TableBackend) Open(cfg sqllock.SessionConfig) (sqllock.Session, error) {
	if t.opts.err != nil {
		return nil, t.opts.err
	}
	return lease.New(&store{file: &file{path: t.file.path}, namespace: t.opts.namespace, poll: t.opts.poll}, cfg), nil
}

// Close closes what [TableBackend.WithTx] and [TableBackend.Purge] have opened. A backend that is used by Clients only needs no Close.
func (t *TableBackend) Close(ctx context.Context) error {
	err := t.withTxClient().Close(ctx)
	if closeErr := t.file.close(); err == nil {
		err = closeErr
	}
	return err
}

// Purge removes names that nobody has held or waited for since so long, and returns how many. Tokens of a name that is used again
// later are still larger than all before.
func (t *TableBackend) Purge(ctx context.Context, unused time.Duration) (int64, error) {
	if t.opts.err != nil {
		return 0, t.opts.err
	}
	const limit = 1000
	durable, _, err := t.file.open(ctx)
	if err != nil {
		return 0, err
	}
	var total int64
	for {
		var n, floor int64
		err := write(ctx, durable, func(sqlTx *sql.Tx) error {
			n, floor = 0, 0
			t := tx{ctx, sqlTx}
			// The dead hold nothing, but their rows would have nobody purge the name.
			if err := errors.Join(t.exec("purge_sessions"), t.exec("purge_holders")); err != nil {
				return err
			}
			err := t.each("purge", func(r *sql.Rows) error {
				var token int64
				err := r.Scan(&token)
				n, floor = n+1, max(floor, token)
				return err
			}, unused.Milliseconds(), limit)
			if err != nil {
				return err
			}
			return t.exec("raise_floor", floor)
		})
		if err != nil {
			return total, explain(t.file.path, "purge", err)
		}
		if total += n; n < limit {
			return total, nil
		}
	}
}
