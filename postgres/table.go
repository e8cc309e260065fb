package postgres

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/sqllock/toolkit/internal/lease"
	"github.com/sqllock/toolkit/sqllock"
)

// TableBackend keeps leases in the toolkit's tables. Make one with [Table]. It is safe for concurrent use.
type TableBackend struct {
	pool *pgxpool.Pool
	opts options
	sql  statements

	seeder *conn // for LockTx, whose own transaction must not seed

	once   sync.Once
	client *sqllock.Client // of WithTx
}

var _ sqllock.Backend = (*TableBackend)(nil)

// Table is the backend of leases. The toolkit's schema must be installed (migrations/postgres, or `sqllock migrate up`).
//
// From the pool it takes the configuration, for two connections of each Client, open while something is held, waited for or asked:
// one acquires and releases, one renews and listens. The pool itself serves only Locks, ForceRelease, Verify, Publish, Leader, Purge
// and WithTx.
func Table(pool *pgxpool.Pool, opts ...Option) *TableBackend {
	t := &TableBackend{pool: pool, opts: newOptions(opts)}
	if pool == nil {
		t.opts.err = fmt.Errorf("%w: postgres: Table needs a pool", sqllock.ErrInvalid)
		return t
	}
	if given := t.opts.session.given; given != "" {
		t.opts.err = fmt.Errorf("%w: postgres: %s is an option of Advisory", sqllock.ErrInvalid, given)
	}
	t.sql = load(t.opts.quotedSchema())
	t.seeder = newConn(pool)
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

// Close closes what WithTx and LockTx have opened: WithTx answers with [sqllock.ErrClosed] afterwards. A backend that is used by Clients only
// needs no Close.
func (t *TableBackend) Close(ctx context.Context) error {
	err := t.withTxClient().Close(ctx)
	if t.seeder != nil {
		t.seeder.close()
	}
	return err
}

// schemaVersion is the version of the schema that this package was written for, and readsSince the oldest that it can use.
const (
	schemaVersion = 2
	readsSince    = 1
)

// checkSchema finds out whether the tables are there and fit, and can be written.
func (t *TableBackend) checkSchema(ctx context.Context, pg *pgx.Conn) error {
	var version, oldestReader *int64
	var standby bool
	err := pg.QueryRow(ctx, t.sql["schema"]).Scan(&version, &oldestReader, &standby)
	switch {
	case err != nil:
		return t.explain("check schema", err)
	case standby:
		return fmt.Errorf("postgres: %w: this server is a standby, where nothing can be written; connect to the primary, for instance "+
			"with target_session_attrs=read-write", sqllock.ErrRefused)
	case version == nil || oldestReader == nil || *version < readsSince:
		return fmt.Errorf("postgres: %w: the tables in schema %s are older than version %d; run `sqllock migrate up` or migrations/postgres.Up",
			sqllock.ErrSchema, t.opts.schema, readsSince)
	case *oldestReader > schemaVersion:
		return fmt.Errorf("postgres: %w: the tables in schema %s are of version %d and need a newer build of this program; this one knows version %d",
			sqllock.ErrSchema, t.opts.schema, *version, schemaVersion)
	}
	return nil
}

// Purge removes names that nobody has held or waited for since so long, and returns how many. Tokens of a name that is used again
// later are still larger than all before. It works in small transactions beside everything else.
func (t *TableBackend) Purge(ctx context.Context, unused time.Duration) (int64, error) {
	if t.opts.err != nil {
		return 0, t.opts.err
	}
	const limit = 1000
	var total int64
	for {
		var locked, purged int64
		err := pgx.BeginTxFunc(ctx, t.pool, readCommitted, func(tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, t.sql["purge_floor"]); err != nil {
				return err
			}
			if err := tx.QueryRow(ctx, t.sql["purge_lock"], unused.Microseconds(), limit).Scan(nil, &locked); err != nil {
				return err
			}
			for _, evict := range []string{"evict_sessions", "evict_holders"} {
				if _, err := tx.Exec(ctx, t.sql[evict]); err != nil {
					return err
				}
			}
			return tx.QueryRow(ctx, t.sql["purge"]).Scan(&purged)
		})
		if err == nil {
			total += purged
		}
		if err != nil || locked < limit || purged == 0 {
			return total, t.explain("purge", err)
		}
	}
}

var readCommitted = pgx.TxOptions{IsoLevel: pgx.ReadCommitted, AccessMode: pgx.ReadWrite}

func (s *store) Verify(ctx context.Context, id lease.SessionID, ref lease.Ref) (held bool, err error) {
	err = s.pool.QueryRow(ctx, s.sql["verify"], id, ref.Resource, ref.Token).Scan(&held)
	return held, s.explain("verify", err)
}

func (s *store) Publish(ctx context.Context, ref lease.Ref, value map[string]string) (bool, error) {
	var published int64
	err := pgx.BeginTxFunc(ctx, s.pool, readCommitted, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, s.sql["publish"], ref.Resource, ref.Token, lease.EncodeMetadata(value))
		published = tag.RowsAffected()
		return err
	})
	return published > 0, s.explain("publish", err)
}

func (s *store) Leader(ctx context.Context, name string) (sqllock.Leader, error) {
	l := sqllock.Leader{Name: name}
	var metadata *string
	err := s.pool.QueryRow(ctx, s.sql["leader"], s.opts.namespace, name).Scan(&l.Token, &l.Owner, &metadata, &l.Since)
	if errors.Is(err, pgx.ErrNoRows) {
		return sqllock.Leader{}, sqllock.ErrNoLeader
	}
	if err == nil {
		l.Value, err = lease.DecodeMetadata(metadata)
	}
	return l, s.explain("leader", err)
}

func (s *store) Locks(ctx context.Context) ([]sqllock.LockInfo, error) {
	rows, err := s.pool.Query(ctx, s.sql["locks"], s.opts.namespace)
	if err != nil {
		return nil, s.explain("locks", err)
	}
	infos, err := pgx.CollectRows(rows, func(r pgx.CollectableRow) (sqllock.LockInfo, error) {
		var i sqllock.LockInfo
		var mode string
		var metadata *string
		var expires, keep *time.Time
		if err := r.Scan(&i.Name, &mode, &i.Permits, &i.Waiting, &i.Token, &i.Owner, &metadata, &i.Since, &expires, &keep); err != nil {
			return i, err
		}
		i.Mode = lease.LetterMode(mode)
		if expires != nil {
			i.Expires = *expires
		}
		if keep != nil {
			i.Keep = *keep
		}
		i.Metadata, err = lease.DecodeMetadata(metadata)
		return i, err
	})
	return infos, s.explain("locks", err)
}

// ForceRelease implements [lease.Store]. The lock timeout ends the waiting for guards before the context would end the connection.
func (s *store) ForceRelease(ctx context.Context, name string) error {
	for {
		if context.Cause(ctx) != nil {
			return fmt.Errorf("postgres: %w: %w", sqllock.ErrNotConfirmed, context.Cause(ctx))
		}
		err := s.force(ctx, name)
		switch sqlState(err) {
		case lockNotAvailable, deadlockDetected, serializationFailure:
			continue
		}
		if err != nil && context.Cause(ctx) != nil {
			return fmt.Errorf("postgres: %w: %w", sqllock.ErrNotConfirmed, err)
		}
		return s.explain("force release", err)
	}
}

func (s *store) force(ctx context.Context, name string) error {
	var resource int64
	err := pgx.BeginTxFunc(ctx, s.pool, readCommitted, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, s.sql["patience"], "1s"); err != nil {
			return err
		}
		if err := tx.QueryRow(ctx, s.sql["force_lock"], s.opts.namespace, name).Scan(&resource); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, s.sql["force_tell"], resource); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, s.sql["force_take"], resource)
		return err
	})
	if errors.Is(err, pgx.ErrNoRows) {
		return nil // a name that was never locked
	}
	if err == nil {
		_, err = s.pool.Exec(ctx, s.sql["wake"], []int64{resource})
	}
	return err
}
