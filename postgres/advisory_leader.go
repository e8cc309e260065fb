package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sqllock/toolkit/internal/lease"
	"github.com/sqllock/toolkit/postgres/internal/advisory"
	"github.com/sqllock/toolkit/sqllock"
)

// publish writes what a holder tells of itself, in a transaction that is guarded by its lock. If the lock is lost before that is committed, nobody is
// granted it before that either, and the row, whose mark has gone with the session, counts for nobody.
func (b *AdvisoryBackend) publish(ctx context.Context, p advisory.Publication) error {
	err := pgx.BeginTxFunc(ctx, b.pool, readCommitted, func(tx pgx.Tx) error {
		alive, err := b.closeBarriers(ctx, pgxTx{tx}, p.Hold)
		if err != nil {
			return err
		}
		if !alive {
			if err := p.Hold.Verify(ctx); err != nil {
				return err
			}
			return fmt.Errorf("the lock %q is held, but not in the database that the pool is connected to now; connect both to one", p.Name)
		}
		if err := p.Hold.Kept(); err != nil {
			return err
		}
		tag, err := tx.Exec(ctx, b.sql["advisory_publish"], p.Key, p.Hold.Token(), p.Owner, lease.EncodeMetadata(p.Value), p.Held.Microseconds(),
			int32(p.PID), p.Mark)
		if err == nil && tag.RowsAffected() == 0 {
			err = fmt.Errorf("the lock %q is held with token %d, and a larger one has been published: tokens have gone back", p.Name, p.Hold.Token())
		}
		return err
	})
	if sqlState(err) == insufficientPrivilege {
		return fmt.Errorf("postgres: publish: %w for this role: %w; it needs USAGE on schema %s, and SELECT, INSERT and UPDATE on its sqllock_leaders",
			sqllock.ErrUnsupported, err, b.opts.schema)
	}
	return b.explainLeader("publish", err)
}

// leader asks on the pool: the session's own connection is for locks.
func (b *AdvisoryBackend) leader(ctx context.Context, name string) (sqllock.Leader, error) {
	var standby bool
	var token *int64
	var owner, value *string
	var since *time.Time
	err := b.pool.QueryRow(ctx, b.sql["advisory_leader"], b.key(name)).Scan(&standby, &token, &owner, &value, &since)
	switch {
	case err != nil:
		return sqllock.Leader{}, b.explainLeader("leader", err)
	case standby: // it has the rows, and none of the locks
		return sqllock.Leader{}, fmt.Errorf("postgres: leader: %w: the pool is connected to a standby, which knows nothing of the primary's locks; "+
			"connect to the primary, for instance with target_session_attrs=read-write", sqllock.ErrRefused)
	case token == nil:
		return sqllock.Leader{}, sqllock.ErrNoLeader
	}
	l := sqllock.Leader{Name: name, Token: *token, Owner: *owner, Since: *since}
	l.Value, err = lease.DecodeMetadata(value)
	return l, b.explain("leader", err)
}

// explainLeader says what mends a missing schema. Without it everything else of a session lock works.
func (b *AdvisoryBackend) explainLeader(doing string, err error) error {
	switch sqlState(err) {
	case undefinedTable, undefinedColumn, invalidSchemaName:
		return fmt.Errorf("postgres: %s: %w: session locks keep what leaders publish in the toolkit's tables: %w; run `sqllock migrate up` or "+
			"migrations/postgres.Up for schema %s, or use a Table", doing, sqllock.ErrUnsupported, err, b.opts.schema)
	}
	return b.explain(doing, err)
}
