package mysql

import (
	"context"
	"database/sql"
	"fmt"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/sqllock/toolkit/mysql/internal/named"
	"github.com/sqllock/toolkit/sqllock"
)

// NamedBackend keeps session locks. Make one with [Named]. It is safe for concurrent use.
type NamedBackend struct {
	cfg  *mysql.Config
	opts options
	keys named.Keys

	db     func() (*sql.DB, error) // of WithTx and what is asked now and then
	ledger func() (*ledger, error)
	fit    atomic.Bool // the server was seen not to be one of many
}

var _ sqllock.Backend = (*NamedBackend)(nil)

// Named is the backend of session locks, on GET_LOCK: no tables are needed, and what a process holds is free the moment it dies. Locks are
// exclusive; for shared locks and permits, which GET_LOCK cannot express, there is [Table].
//
// It opens connections of its own: one for each Client that holds, wants or asks something, which carries all its locks, and one more for each
// name that somebody waits for, until that lock is released, up to [MaxParked]. They must be to the server itself, and all processes must
// use the same one: user locks are known to one server only. So a node of a Galera cluster, or of a replication group with several primaries,
// is refused with [sqllock.ErrRefused].
//
// Locks belong to the database of the configuration, or that of the option [Database], as those of the other backends do: GET_LOCK itself knows
// no databases, so the name of the database is part of what is locked.
//
// The configuration is copied. Its timeouts for reading and writing do not count for connections that hold locks.
func Named(cfg *mysql.Config, opts ...Option) *NamedBackend {
	b := &NamedBackend{opts: newOptions(append([]Option{Poll(pollUnparked)}, opts...))}
	if cfg == nil {
		b.opts.err = fmt.Errorf("%w: mysql: Named needs a configuration", sqllock.ErrInvalid)
		return b
	}
	b.cfg = cfg.Clone()
	if b.opts.database == "" {
		b.opts.database = cfg.DBName
	}
	if b.opts.database == "" && b.opts.named.tokens && b.opts.err == nil {
		b.opts.err = fmt.Errorf("%w: mysql: the configuration names no database, and tokens are kept in one; set DBName, or use Database", sqllock.ErrInvalid)
	}
	b.keys = named.NewKeys(b.opts.database, b.opts.namespace)
	b.db = sync.OnceValues(func() (*sql.DB, error) { return openDB(b.cfg) })
	b.ledger = sync.OnceValues(func() (*ledger, error) { return newLedger(b.cfg, b.tokens(), b.opts.namespace) })
	return b
}

func openDB(cfg *mysql.Config) (*sql.DB, error) {
	c := cfg.Clone()
	c.Params = maps.Clone(c.Params)
	if c.Params == nil {
		c.Params = make(map[string]string)
	}
	c.Params["autocommit"] = "1"  // what is written outside of a transaction stays, and a look is no transaction that goes on
	c.Logger = &mysql.NopLogger{} // it logs what it also returns
	connector, err := mysql.NewConnector(c)
	if err != nil {
		return nil, fmt.Errorf("%w: mysql: %w", sqllock.ErrInvalid, err)
	}
	return sql.OpenDB(connector), nil
}

// pollUnparked is how often names are tried for which no connection waits.
const pollUnparked = 100 * time.Millisecond

// Capabilities implements [sqllock.Backend]. Tokens are given with [WithTokens] only. Waiters are served in the order in which they came, for
// as long as there are connections for them to wait on.
func (b *NamedBackend) Capabilities() sqllock.Capabilities {
	return sqllock.Capabilities{Tokens: b.opts.named.tokens}
}

// Key implements [sqllock.Backend]: the name that GET_LOCK is called with.
func (b *NamedBackend) Key(name string) string {
	return b.keys.Of(name)
}

// Open implements [sqllock.Backend].
func (b *NamedBackend) Open(cfg sqllock.SessionConfig) (sqllock.Session, error) {
	if b.opts.err != nil {
		return nil, b.opts.err
	}
	connector, err := named.NewConnector(b.cfg, cfg.Owner, b.opts.named.timeout)
	if err != nil {
		return nil, err
	}
	n := named.Config{
		SessionConfig: cfg,
		Connector:     connector,
		Poll:          b.opts.poll,
		MaxParked:     b.opts.named.parked,
		Key:           b.Key,
		List:          b.list,
		Force:         b.force,
		Publish:       b.publish,
		Leader:        b.leader,
	}
	if b.opts.named.tokens {
		ledger, err := b.ledger()
		if err != nil {
			return nil, err
		}
		n.Ledger = ledger
	}
	return named.Open(n), nil
}

// Close closes what WithTx, Locks, ForceRelease and tokens have opened. A backend that Clients use is closed after them.
func (b *NamedBackend) Close(context.Context) error {
	if b.opts.err != nil {
		return nil
	}
	// The errors of closing are those of connections that the server has closed before.
	if db, err := b.db(); err == nil {
		_ = db.Close()
	}
	if l, err := b.ledger(); err == nil {
		_ = l.db.Close()
	}
	return nil
}

// suited finds out whether locks taken on conn would exclude anybody. The sessions of Clients do so for themselves.
func (b *NamedBackend) suited(ctx context.Context, conn *sql.Conn) error {
	if b.fit.Load() {
		return nil
	}
	rows, err := conn.QueryContext(ctx, named.Variables)
	if err != nil {
		return fmt.Errorf("mysql: connect: %w", err)
	}
	defer rows.Close()
	variables := make(map[string]string)
	for rows.Next() {
		var name, value string
		if err := rows.Scan(&name, &value); err != nil {
			return fmt.Errorf("mysql: connect: %w", err)
		}
		variables[name] = value
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("mysql: connect: %w", err)
	}
	if err := named.Refusal(variables, func() (n int, err error) {
		return n, conn.QueryRowContext(ctx, named.Members).Scan(&n)
	}); err != nil {
		return err
	}
	b.fit.Store(true)
	return nil
}
