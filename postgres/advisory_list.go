package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sqllock/toolkit/postgres/internal/advisory"
	"github.com/sqllock/toolkit/sqllock"
)

// list is who holds what and who waits, by name where the name was written down or is among those that the caller knows.
func (b *AdvisoryBackend) list(ctx context.Context, known []advisory.Named) ([]sqllock.LockInfo, error) {
	rows, err := b.pool.Query(ctx, b.sql["advisory_locks"])
	if err != nil {
		return nil, b.explain("locks", err)
	}
	seen, err := pgx.CollectRows(rows, func(r pgx.CollectableRow) (s advisory.Seen, err error) {
		err = r.Scan(&s.Single, &s.Key, &s.Exclusive, &s.Granted, &s.PID, &s.Application, &s.Client)
		return s, err
	})
	if err != nil {
		return nil, b.explain("locks", err)
	}
	names, err := b.names(ctx)
	if err != nil {
		return nil, b.explain("locks", err)
	}
	for _, n := range known {
		names[n.Key] = n.Name
	}
	return advisory.Classify(b.opts.namespace, seen, names), nil
}

// names are the names that are written down, by key. Without the schema, or the right to read it, there are none.
func (b *AdvisoryBackend) names(ctx context.Context) (map[int64]string, error) {
	names := make(map[int64]string)
	rows, err := b.pool.Query(ctx, b.sql["advisory_names"], b.opts.namespace)
	if err == nil {
		var key int64
		var name string
		_, err = pgx.ForEachRow(rows, []any{&key, &name}, func() error {
			names[key] = name
			return nil
		})
	}
	switch sqlState(err) {
	case undefinedTable, undefinedColumn, invalidSchemaName, insufficientPrivilege:
		return names, nil
	}
	return names, err
}

func (b *AdvisoryBackend) name(ctx context.Context, seen []advisory.Named) error {
	keys, names := make([]int64, len(seen)), make([]string, len(seen))
	for i, n := range seen {
		keys[i], names[i] = n.Key, n.Name
	}
	_, err := b.pool.Exec(ctx, b.sql["advisory_name"], b.opts.namespace, keys, names)
	return err
}

// Purge forgets the names of locks that have not been held or waited for since so long, and returns how many. Only Locks uses them.
func (b *AdvisoryBackend) Purge(ctx context.Context, unused time.Duration) (int64, error) {
	if b.opts.err != nil {
		return 0, b.opts.err
	}
	tag, err := b.pool.Exec(ctx, b.sql["advisory_purge"], b.opts.namespace, unused.Microseconds())
	return tag.RowsAffected(), b.explain("purge", err)
}
