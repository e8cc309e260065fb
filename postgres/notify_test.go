package postgres_test

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sqllock/toolkit/internal/testdb"
	"github.com/sqllock/toolkit/postgres"
	"github.com/sqllock/toolkit/sqllock"
)

// pair makes two clients of one database, as two processes would be.
func pair(t *testing.T, opts ...postgres.Option) (a, b *sqllock.Client, pool *pgxpool.Pool) {
	t.Helper()
	dsn := testdb.Postgres(t)
	migrate(t, dsn)
	pool, err := pgxpool.New(t.Context(), dsn)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	var clients [2]*sqllock.Client
	for i := range clients {
		clients[i] = sqllock.New(postgres.Table(pool, opts...), sqllock.TTL(time.Hour))
		t.Cleanup(func() { assert.NoError(t, clients[i].Close(context.Background())) })
	}
	return clients[0], clients[1], pool
}

// handOver has b wait for what a holds, and a release it.
func handOver(t *testing.T, a, b *sqllock.Client) {
	t.Helper()
	held, err := a.Acquire(t.Context(), "n")
	require.NoError(t, err)
	got := make(chan error, 1)
	go func() {
		next, err := b.Acquire(t.Context(), "n")
		if err == nil {
			err = next.Release(t.Context())
		}
		got <- err
	}()
	require.Eventually(t, func() bool {
		infos, err := a.Locks(t.Context())
		require.NoError(t, err)
		return len(infos) == 2 && infos[1].Waiting
	}, 10*time.Second, time.Millisecond)
	require.NoError(t, held.Release(t.Context()))
	select {
	case err := <-got:
		require.NoError(t, err)
	case <-time.After(20 * time.Second):
		t.Fatal("the waiter has not been woken")
	}
}

func TestReleaseWakesTheWaiterWithoutAnyPoll(t *testing.T) {
	t.Parallel()
	a, b, _ := pair(t, postgres.Poll(time.Minute)) // the lease is an hour long: neither would end the wait in time
	for range 20 {
		handOver(t, a, b)
	}
}

func TestWaitersPollWithoutListen(t *testing.T) {
	t.Parallel()
	a, b, pool := pair(t, postgres.NoListen())
	handOver(t, a, b)
	var listening int
	const query = "select count(*) from pg_stat_activity where datname = current_database() and query ilike 'listen%'"
	require.NoError(t, pool.QueryRow(t.Context(), query).Scan(&listening))
	require.Zero(t, listening)
}

func TestOnlyTheNextInLineIsNotified(t *testing.T) {
	t.Parallel()
	a, b, pool := pair(t, postgres.Poll(time.Minute))
	held, err := a.Acquire(t.Context(), "n")
	require.NoError(t, err)
	quiet, err := a.Acquire(t.Context(), "nobody waits for this")
	require.NoError(t, err)
	got := make(chan *sqllock.Lock, 1)
	go func() {
		lock, err := b.Acquire(t.Context(), "n")
		assert.NoError(t, err)
		got <- lock
	}()
	require.Eventually(t, func() bool {
		var n int
		require.NoError(t, pool.QueryRow(t.Context(), "select count(*) from sqllock_waiters").Scan(&n))
		return n == 1
	}, 10*time.Second, time.Millisecond)

	// Whoever is notified is notified on the channel of its session: listen to all of them.
	conn, err := pool.Acquire(t.Context())
	require.NoError(t, err)
	defer conn.Release()
	var waiting string
	require.NoError(t, conn.QueryRow(t.Context(), "select session::text from sqllock_waiters").Scan(&waiting))
	rows, err := conn.Query(t.Context(), "select id::text from sqllock_sessions")
	require.NoError(t, err)
	var sessions []string
	for rows.Next() {
		var id string
		require.NoError(t, rows.Scan(&id))
		sessions = append(sessions, id)
	}
	require.NoError(t, rows.Err())
	require.Len(t, sessions, 2)
	for _, id := range append(sessions, "end") {
		_, err := conn.Exec(t.Context(), `listen "sqllock_`+id+`"`)
		require.NoError(t, err)
	}

	require.NoError(t, quiet.Release(t.Context()))
	require.NoError(t, held.Release(t.Context()))
	lock := <-got
	require.NoError(t, lock.Release(t.Context()))
	_, err = pool.Exec(t.Context(), "notify sqllock_end")
	require.NoError(t, err)
	var channels []string
	for len(channels) == 0 || channels[len(channels)-1] != "sqllock_end" {
		n, err := conn.Conn().WaitForNotification(t.Context())
		require.NoError(t, err)
		channels = append(channels, n.Channel)
	}
	require.Equal(t, []string{"sqllock_" + waiting, "sqllock_end"}, channels)
}
