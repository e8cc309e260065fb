package mysql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/sqllock/toolkit/internal/lease"
	"github.com/sqllock/toolkit/sqllock"
)

// TableBackend keeps leases in the toolkit's tables. Make one with [Table]. It is safe for concurrent use.
type TableBackend struct {
	opts      options
	sql       statements
	connector connector // of our own connections
	fits      atomic.Bool
	galera    atomic.Bool // the server was seen to be a node of a cluster

	// Opened when they are first needed.
	mu     sync.Mutex
	closed bool
	own    *pool   // of LockTx and Purge
	app    *sql.DB // of the transactions of WithTx
	config *mysql.Config

	once   sync.Once
	client *sqllock.Client // of WithTx
}

var _ sqllock.Backend = (*TableBackend)(nil)

// Table is the backend of leases, on MySQL 8.0 or MariaDB 10.6 and later. The toolkit's schema must be installed (migrations/mysql, or
// `sqllock migrate up`).
//
// cfg says how the server is reached, and is not changed. Every Client opens connections of its own with it: usually two, open while something
// is held, waited for or asked. What cfg sets for statements (Params, character set, time limits) is for the transactions of WithTx; our own
// statements do not depend on it.
func Table(cfg *mysql.Config, opts ...Option) *TableBackend {
	t := &TableBackend{opts: newOptions(opts)}
	if cfg == nil {
		t.opts.err = fmt.Errorf("%w: mysql: Table needs a configuration", sqllock.ErrInvalid)
		return t
	}
	if given := t.opts.named.given; given != "" {
		t.opts.err = fmt.Errorf("%w: mysql: %s is an option of Named", sqllock.ErrInvalid, given)
	}
	t.config = cfg.Clone()
	if t.opts.database == "" {
		t.opts.database = cfg.DBName
	}
	if t.opts.err == nil && !identifier(t.opts.database) {
		t.opts.err = fmt.Errorf("%w: mysql: Table needs a database: set DBName in the configuration, or give Database", sqllock.ErrInvalid)
	}
	t.sql = load(quote(t.opts.database))
	own, err := ownConfig(cfg, t.opts.database)
	if err == nil {
		t.connector.hello = t.sql["hello"]
		t.connector.Connector, err = mysql.NewConnector(own)
	}
	if err != nil && t.opts.err == nil {
		t.opts.err = fmt.Errorf("%w: mysql: %w", sqllock.ErrInvalid, err)
	}
	return t
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
	return lease.New(newStore(t, cfg.Logger), cfg), nil
}

// Close closes what WithTx, LockTx and Purge have opened; they answer with [sqllock.ErrClosed] afterwards. A backend that is used by Clients
// only needs no Close.
func (t *TableBackend) Close(ctx context.Context) error {
	err := t.withTxClient().Close(ctx)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = true
	if t.own != nil {
		t.own.close()
	}
	if t.app != nil {
		err = errors.Join(err, t.app.Close())
	}
	return err
}

// ownPool is for what is asked of the backend and not of a Client.
func (t *TableBackend) ownPool(ctx context.Context) (pool, error) {
	if t.opts.err != nil {
		return pool{}, t.opts.err
	}
	t.mu.Lock()
	if t.closed {
		t.mu.Unlock()
		return pool{}, sqllock.ErrClosed
	}
	if t.own == nil {
		p := newPool(t.connector)
		t.own = &p
	}
	p := *t.own
	t.mu.Unlock()
	if !t.fits.Load() {
		if _, err := t.check(ctx, p); err != nil {
			return pool{}, err
		}
		t.fits.Store(true)
	}
	return p, nil
}

// appDB is where the transactions of WithTx begin: with the application's own settings.
func (t *TableBackend) appDB() (*sql.DB, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return nil, sqllock.ErrClosed
	}
	if t.app == nil {
		connector, err := mysql.NewConnector(t.config.Clone())
		if err != nil {
			return nil, fmt.Errorf("%w: mysql: %w", sqllock.ErrInvalid, err)
		}
		t.app = sql.OpenDB(connector)
		t.app.SetConnMaxIdleTime(idleTimeout)
	}
	return t.app, nil
}

// Purge removes names that nobody has held or waited for since so long, and returns how many. Tokens of a name that is used again
// later are still larger than all before. It works in small transactions beside everything else.
func (t *TableBackend) Purge(ctx context.Context, unused time.Duration) (int64, error) {
	p, err := t.ownPool(ctx)
	if err != nil {
		return 0, err
	}
	const limit = 1000
	var total int64
	for {
		var idle, purged int64
		err := t.transact(ctx, "purge", p, func() []statement {
			tx := []statement{{name: "purge_floor"}, {name: "purge_look", args: []any{unused.Microseconds(), limit}}, {name: "purge_lock"}}
			return append(append(tx, evicting...), statement{name: "purge_judge"}, statement{name: "purge_raise"}, statement{name: "purge"})
		}, statement{"purged", nil, into(&idle, &purged)})
		total += purged
		if err != nil || idle < limit || purged == 0 {
			return total, err
		}
	}
}
