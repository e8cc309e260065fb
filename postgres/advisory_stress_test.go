package postgres_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
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

// TestAdvisoryGuardedWritesNeverInterleave ends sessions at random while many acquire in all modes, give up waiting, and write in guarded
// transactions in a way that loses updates if two do it at once. What was committed has to be what is there.
func TestAdvisoryGuardedWritesNeverInterleave(t *testing.T) {
	t.Parallel()
	const clients, workers, names, duration = 5, 3, 3, 4 * time.Second
	ctx := t.Context()
	dsn := testdb.Postgres(t)
	migrate(t, dsn)
	cfg, err := pgxpool.ParseConfig(dsn)
	require.NoError(t, err)
	cfg.MaxConns = clients*workers + 1
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	_, err = pool.Exec(ctx, fmt.Sprintf(`CREATE TABLE account (id int PRIMARY KEY, n int NOT NULL, token bigint NOT NULL);
		INSERT INTO account SELECT i, 0, 0 FROM generate_series(0, %d) AS i`, names-1), pgx.QueryExecModeSimpleProtocol)
	require.NoError(t, err)

	var written [names]atomic.Int64
	var kills int64
	end := time.Now().Add(duration)
	var all sync.WaitGroup
	for c := range clients {
		a := account{pool: pool, backend: postgres.Advisory(pool, postgres.Poll(100*time.Millisecond), postgres.WithTokens())}
		a.client = sqllock.New(a.backend, sqllock.Owner(fmt.Sprintf("stress %d", c)))
		t.Cleanup(func() { assert.NoError(t, a.client.Close(context.Background())) })
		for range workers {
			all.Go(func() {
				for time.Now().Before(end) {
					if id := rand.IntN(names); a.visit(t, id) {
						written[id].Add(1)
					}
				}
			})
		}
	}
	for time.Now().Before(end) {
		tag, err := pool.Exec(ctx, `SELECT pg_terminate_backend(pid) FROM (SELECT pid FROM pg_stat_activity
			WHERE application_name LIKE 'stress%' ORDER BY random() LIMIT 1) AS one`)
		require.NoError(t, err)
		kills += tag.RowsAffected()
		<-time.After(time.Duration(rand.Int64N(int64(30 * time.Millisecond)))) // the fault's own rhythm
	}
	all.Wait()
	for id := range names {
		var n int64
		require.NoError(t, pool.QueryRow(ctx, "SELECT n FROM account WHERE id = $1", id).Scan(&n))
		assert.Equal(t, written[id].Load(), n, "an update was lost")
		assert.Positive(t, n)
	}
	assert.Positive(t, kills)
}

// account is how one Client gets at the accounts.
type account struct {
	pool    *pgxpool.Pool
	backend *postgres.AdvisoryBackend
	client  *sqllock.Client
}

// visit reads or writes an account under its lock, in any mode, and reports whether it has written.
func (a account) visit(t *testing.T, id int) bool {
	mode := [][]sqllock.Option{nil, {sqllock.Shared()}, {sqllock.Permits(1)}}[rand.IntN(3)]
	ctx, cancel := context.WithTimeout(t.Context(), time.Duration(rand.Int64N(int64(300*time.Millisecond))))
	lock, err := a.client.Acquire(ctx, fmt.Sprintf("account %d", id), mode...)
	cancel()
	if err != nil {
		return false // given up, or the session was ended
	}
	defer func() { _ = lock.Release(t.Context()) }() // it may be lost
	err = pgx.BeginFunc(t.Context(), a.pool, func(tx pgx.Tx) error {
		if err := a.backend.Guard(t.Context(), tx, lock); err != nil {
			return err
		}
		before, token, err := a.read(t.Context(), tx, id)
		if err != nil {
			return err
		}
		<-time.After(time.Duration(rand.Int64N(int64(3 * time.Millisecond)))) // the work
		if lock.Mode() == sqllock.ModeShared {
			after, _, err := a.read(t.Context(), tx, id)
			assert.Equal(t, before, after, "somebody wrote beside a reader")
			return err
		}
		assert.Greater(t, lock.Token(), token, "a later holder's token")
		_, err = tx.Exec(t.Context(), "UPDATE account SET n = $2, token = $3 WHERE id = $1", id, before+1, lock.Token())
		return err
	})
	return err == nil && lock.Mode() != sqllock.ModeShared
}

func (a account) read(ctx context.Context, tx pgx.Tx, id int) (n int, token int64, err error) {
	err = tx.QueryRow(ctx, "SELECT n, token FROM account WHERE id = $1", id).Scan(&n, &token)
	return n, token, err
}
