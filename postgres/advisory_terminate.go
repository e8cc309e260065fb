package postgres

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sqllock/toolkit/postgres/internal/advisory"
	"github.com/sqllock/toolkit/sqllock"
)

// Terminate ends the sessions that hold name, with pg_terminate_backend, and returns everything that they held: all of it is free then, not
// the one lock alone. It is for holders that do not answer a [sqllock.Client.ForceRelease]: processes that are stopped, transactions that do not
// end, programs that are not of this toolkit. Transactions that are guarded by a lock of such a session go on, and the next holder waits for them.
//
// The role must be allowed to end those sessions (https://www.postgresql.org/docs/current/functions-admin.html#FUNCTIONS-ADMIN-SIGNAL).
// If they have not ended when ctx does, the error matches [sqllock.ErrNotConfirmed]. A name that nobody holds is no error.
func (b *AdvisoryBackend) Terminate(ctx context.Context, name string) (freed []sqllock.LockInfo, err error) {
	if b.opts.err != nil {
		return nil, b.opts.err
	}
	if err := sqllock.CheckName(name); err != nil {
		return nil, err
	}
	named := []advisory.Named{{Key: b.key(name), Name: name}} // whether or not it is written down, and whoever holds it
	infos, err := b.list(ctx, named)
	if err != nil {
		return nil, err
	}
	rows, err := b.pool.Query(ctx, b.sql["advisory_terminate"], b.key(name))
	if err != nil {
		return nil, b.explain("terminate", err)
	}
	ended := make(map[int64]bool)
	var pid int64
	var signalled bool
	if _, err := pgx.ForEachRow(rows, []any{&pid, &signalled}, func() error {
		ended[pid] = true
		return nil
	}); err != nil {
		return nil, b.explain("terminate", err)
	}
	for _, i := range infos {
		if ended[i.PID] && !i.Waiting {
			freed = append(freed, i)
		}
	}
	const look = 20 * time.Millisecond
	for {
		left, err := b.list(ctx, named)
		if err != nil && context.Cause(ctx) == nil {
			return freed, err
		}
		if err == nil && !slices.ContainsFunc(left, func(i sqllock.LockInfo) bool { return ended[i.PID] && i.Key == b.Key(name) && !i.Waiting }) {
			return freed, nil
		}
		select {
		case <-time.After(look):
		case <-ctx.Done():
			return freed, fmt.Errorf("postgres: terminate %q: %w: %w", name, sqllock.ErrNotConfirmed, context.Cause(ctx))
		}
	}
}
