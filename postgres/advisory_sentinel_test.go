package postgres_test

import (
	"context"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sqllock/toolkit/internal/testdb"
	"github.com/sqllock/toolkit/postgres"
	"github.com/sqllock/toolkit/sqllock"
)

// lifeline dials connections that can be cut as the kernel cuts those of a process that has died.
type lifeline struct {
	mu    sync.Mutex
	conns []net.Conn
}

func (l *lifeline) dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, network, address)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.conns = append(l.conns, conn)
	return conn, err
}

func (l *lifeline) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, conn := range l.conns {
		_ = conn.Close()
	}
}

// mortal makes a Client that can be cut off.
func mortal(tb testing.TB, dsn string, opts ...postgres.Option) (*sqllock.Client, *lifeline) {
	tb.Helper()
	cfg, err := pgxpool.ParseConfig(dsn)
	require.NoError(tb, err)
	line := new(lifeline)
	cfg.ConnConfig.DialFunc = line.dial
	pool, err := pgxpool.NewWithConfig(tb.Context(), cfg)
	require.NoError(tb, err)
	client := sqllock.New(postgres.Advisory(pool, opts...))
	tb.Cleanup(func() {
		_ = client.Close(context.Background())
		pool.Close()
	})
	return client, line
}

func TestSentinelSeesTheEndOfAHolderAtOnce(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	dsn := testdb.Postgres(t)
	client := func() *sqllock.Client {
		c, _ := mortal(t, dsn, postgres.Poll(time.Minute), postgres.Sentinel())
		return c
	}
	next, another := client(), client()
	for range 5 {
		holder, line := mortal(t, dsn)
		_, err := holder.Acquire(ctx, "n")
		require.NoError(t, err)
		stays, err := another.Acquire(ctx, "m") // of a session that lives
		require.NoError(t, err)
		granted := make(chan *sqllock.Lock)
		for _, name := range []string{"n", "m"} {
			go func() {
				l, err := next.Acquire(ctx, name)
				assert.NoError(t, err)
				granted <- l
			}()
		}
		require.Eventually(t, func() bool { return len(waiters(t, another, "n"))+len(waiters(t, another, "m")) == 2 }, 10*time.Second, time.Millisecond)
		line.cut()
		var l *sqllock.Lock
		select {
		case l = <-granted:
		case <-time.After(20 * time.Second):
			t.Fatal("the end of the holder is not seen before the next poll")
		}
		require.Equal(t, "n", l.Name())
		require.NoError(t, l.Release(ctx))
		require.NoError(t, stays.Verify(ctx))
		require.NoError(t, stays.Release(ctx))
		require.NoError(t, (<-granted).Release(ctx))
	}
}

func waiters(t *testing.T, c *sqllock.Client, name string) (waiting []sqllock.LockInfo) {
	t.Helper()
	infos, err := c.Locks(t.Context())
	require.NoError(t, err)
	for _, i := range infos {
		if i.Waiting && (i.Name == name || i.Key == postgres.Advisory(nil).Key(name)) {
			waiting = append(waiting, i)
		}
	}
	return waiting
}
