package postgres_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/sqllock/toolkit/postgres"
	"github.com/sqllock/toolkit/sqllock"
)

// TestAdvisoryHolderThatIsKilledIsFollowed by the next poll: the server frees what a process held as soon as its connection closes, but tells nobody.
func TestAdvisoryHolderThatIsKilledIsFollowed(t *testing.T) {
	inHelper(func(dsn string, ask *bufio.Scanner, tell io.Writer) error {
		ctx := context.Background()
		pool, err := pgxpool.New(ctx, dsn)
		if err != nil {
			return err
		}
		c := sqllock.New(postgres.Advisory(pool))
		for name, mode := range map[string][]sqllock.Option{"x": nil, "s": {sqllock.Shared()}, "p": {sqllock.Permits(1)}} {
			if _, err := c.Acquire(ctx, name, mode...); err != nil {
				return err
			}
		}
		_, _ = fmt.Fprintln(tell, "held")
		ask.Scan()
		return nil
	})
	t.Parallel()
	const poll = 300 * time.Millisecond
	s := newScene(t)
	h := startHelper(t, s.dsn)
	require.Equal(t, "held", h.line())
	next := s.client(postgres.Poll(poll))
	grants := []<-chan grant{s.waits(next, "x"), s.waits(next, "s"), s.waits(next, "p", sqllock.Permits(1))}
	h.kill()
	for _, g := range grants {
		s.release(s.granted(g, poll))
	}
}

func TestAdvisoryTransactionThatEndsIsFollowed(t *testing.T) {
	t.Parallel()
	const poll = 300 * time.Millisecond
	s := newScene(t)
	b := postgres.Advisory(s.pool)
	next := s.client(postgres.Poll(poll))
	for _, end := range []func(context.Context, pgx.Tx) error{
		func(ctx context.Context, tx pgx.Tx) error { return tx.Commit(ctx) },
		func(ctx context.Context, tx pgx.Tx) error { return tx.Rollback(ctx) },
		func(ctx context.Context, tx pgx.Tx) error { return tx.Conn().Close(ctx) },
	} {
		tx, err := s.session().Begin(t.Context())
		require.NoError(t, err)
		require.NoError(t, b.LockTx(t.Context(), tx, "n"))
		waiting := s.waits(next, "n")
		require.NoError(t, end(t.Context(), tx))
		s.release(s.granted(waiting, poll))
	}
}
