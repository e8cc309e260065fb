package postgres

import (
	"context"
	"fmt"
	"sync"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/sqllock/toolkit/postgres/internal/advisory"
	"github.com/sqllock/toolkit/sqllock"
)

// AdvisoryBackend keeps session locks. Make one with [Advisory]. It is safe for concurrent use.
type AdvisoryBackend struct {
	pool *pgxpool.Pool
	opts options
	sql  statements

	once   sync.Once
	client *sqllock.Client // of WithTx
}

var _ sqllock.Backend = (*AdvisoryBackend)(nil)

// Advisory is the backend of session locks, on pg_advisory_lock: no tables are needed, and what a process holds is free the moment it dies.
// Where the toolkit's schema is installed, locks have tokens and others see their names.
//
// From the pool it takes the configuration, for one connection of each Client, open while something is held, waited for or asked, whatever that
// is. The pool itself serves only Locks, Publish, Leader, Terminate, Purge and WithTx. The connection must be to the server itself or to a pool in session
// mode; it is refused with [sqllock.ErrRefused] where locks would not exclude anybody.
func Advisory(pool *pgxpool.Pool, opts ...Option) *AdvisoryBackend {
	b := &AdvisoryBackend{pool: pool, opts: newOptions(opts)}
	switch {
	case pool == nil:
		b.opts.err = fmt.Errorf("%w: postgres: Advisory needs a pool", sqllock.ErrInvalid)
	case b.opts.noListen:
		b.opts.err = fmt.Errorf("%w: postgres: NoListen is an option of Table: a session that cannot listen cannot hold locks either", sqllock.ErrInvalid)
	}
	b.sql = load(b.opts.quotedSchema())
	return b
}

// Capabilities implements [sqllock.Backend]. Tokens are promised with [WithTokens] only.
func (b *AdvisoryBackend) Capabilities() sqllock.Capabilities {
	return sqllock.Capabilities{Shared: true, Permits: true, Tokens: b.opts.session.tokens}
}

// Key implements [sqllock.Backend]: the number that pg_advisory_lock is called with.
func (b *AdvisoryBackend) Key(name string) string { return advisory.FormatKey(b.key(name)) }

func (b *AdvisoryBackend) key(name string) int64 {
	if f := b.opts.session.keyFunc; f != nil {
		return f(name)
	}
	return advisory.KeyOf(b.opts.namespace, name)
}

// Open implements [sqllock.Backend].
func (b *AdvisoryBackend) Open(cfg sqllock.SessionConfig) (sqllock.Session, error) {
	if b.opts.err != nil {
		return nil, b.opts.err
	}
	return advisory.Open(advisory.Config{
		SessionConfig: cfg,
		Connector: advisory.Connector{
			Dial:      func(ctx context.Context) (*pgx.Conn, error) { return connectAs(ctx, b.pool, cfg.Owner) },
			Namespace: b.opts.namespace,
			Schema:    b.opts.schema,
			Tokens:    b.opts.session.tokens,
			Timeout:   b.opts.session.timeout,
		},
		Key:      b.key,
		Poll:     b.opts.poll,
		MaxLocks: b.opts.session.maxLocks,
		Sentinel: b.opts.session.sentinel,
		Name:     b.name,
		List:     b.list,
		Publish:  b.publish,
		Leader:   b.leader,
	}), nil
}

// Close closes what WithTx has opened: WithTx answers with [sqllock.ErrClosed] afterwards. A backend that is used by Clients only needs no Close.
func (b *AdvisoryBackend) Close(ctx context.Context) error { return b.withTxClient().Close(ctx) }

func (b *AdvisoryBackend) withTxClient() *sqllock.Client {
	b.once.Do(func() { b.client = sqllock.New(b) })
	return b.client
}

func (b *AdvisoryBackend) explain(doing string, err error) error {
	if err == nil {
		return nil
	}
	return during(doing, err)
}
