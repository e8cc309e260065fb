package postgres_test

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sqllock/toolkit/internal/testdb"
	"github.com/sqllock/toolkit/postgres"
	"github.com/sqllock/toolkit/sqllock"
)

// TestPoolerInTransactionMode has Clients meet through a PgBouncer that gives each transaction another connection. Every
// exec mode that prepares nothing beyond a transaction works; neither the grants, the guards nor the locks of transactions need a session.
func TestPoolerInTransactionMode(t *testing.T) {
	t.Parallel()
	for name, mode := range map[string]pgx.QueryExecMode{
		"Exec":           pgx.QueryExecModeExec,
		"SimpleProtocol": pgx.QueryExecModeSimpleProtocol,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx := t.Context()
			dsn := testdb.Postgres(t)
			migrate(t, dsn)
			through := testdb.PgBouncer(t, dsn)
			const processes, rounds = 4, 25
			var parties [processes]party
			for i := range parties {
				parties[i] = join(t, through, mode, postgres.NoListen(), postgres.Poll(10*time.Millisecond))
			}
			_, err := parties[0].pool.Exec(ctx, "CREATE TABLE counter (n integer NOT NULL); INSERT INTO counter VALUES (0)", pgx.QueryExecModeSimpleProtocol)
			require.NoError(t, err)

			var all sync.WaitGroup
			for i, p := range parties {
				all.Go(func() {
					for round := range rounds {
						if !assert.NoError(t, p.increment(ctx, i+round)) {
							return
						}
					}
				})
			}
			all.Wait()
			var n int
			require.NoError(t, parties[0].pool.QueryRow(ctx, "SELECT n FROM counter").Scan(&n))
			assert.Equal(t, processes*rounds, n)

			l, err := parties[0].client.Acquire(ctx, "forced")
			require.NoError(t, err)
			waiter := make(chan error)
			go func() { waiter <- parties[1].client.Do(ctx, "forced", func(context.Context) error { return nil }) }()
			require.NoError(t, parties[2].client.ForceRelease(ctx, "forced"))
			require.NoError(t, <-waiter)
			require.ErrorIs(t, l.Verify(ctx), sqllock.ErrLost)
		})
	}
}

// party is what one process would have.
type party struct {
	pool   *pgxpool.Pool
	table  *postgres.TableBackend
	client *sqllock.Client
}

func join(t *testing.T, dsn string, mode pgx.QueryExecMode, opts ...postgres.Option) party {
	t.Helper()
	cfg, err := pgxpool.ParseConfig(dsn)
	require.NoError(t, err)
	cfg.ConnConfig.DefaultQueryExecMode = mode
	return joinWith(t, cfg, opts...)
}

func joinWith(t *testing.T, cfg *pgxpool.Config, opts ...postgres.Option) party {
	t.Helper()
	ctx := context.Background()
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	require.NoError(t, err)
	p := party{pool: pool, table: postgres.Table(pool, opts...)}
	p.client = sqllock.New(p.table, sqllock.Logger(slog.New(slog.NewTextHandler(t.Output(), nil))))
	t.Cleanup(func() {
		assert.NoError(t, p.client.Close(ctx))
		assert.NoError(t, p.table.Close(ctx))
		pool.Close()
	})
	return p
}

// increment reads and writes in a way that loses updates if two do it at once. Every other time the transaction itself takes the lock.
func (p party) increment(ctx context.Context, n int) error {
	if n%2 == 0 {
		return pgx.BeginFunc(ctx, p.pool, func(tx pgx.Tx) error {
			if err := p.table.LockTx(ctx, tx, "counter"); err != nil {
				return err
			}
			return count(ctx, tx)
		})
	}
	return p.client.Do(ctx, "counter", func(ctx context.Context) error {
		return pgx.BeginFunc(ctx, p.pool, func(tx pgx.Tx) error { return count(ctx, tx) })
	})
}

func count(ctx context.Context, tx pgx.Tx) error {
	var n int
	if err := tx.QueryRow(ctx, "SELECT n FROM counter").Scan(&n); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, "UPDATE counter SET n = $1", n+1)
	return err
}
