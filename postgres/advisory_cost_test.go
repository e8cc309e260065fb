package postgres_test

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sqllock/toolkit/internal/testdb"
	"github.com/sqllock/toolkit/postgres"
	"github.com/sqllock/toolkit/sqllock"
)

// wiretap counts connections, and the statements that are sent on them.
type wiretap struct{ connections, statements atomic.Int64 }

// tappedConn reads what is written as a server does: a letter, and the length of what follows with its own four bytes.
type tappedConn struct {
	net.Conn
	tap     *wiretap
	started bool // the first message has no letter
	rest    []byte
}

func (c *tappedConn) Write(b []byte) (int, error) {
	c.rest = append(c.rest, b...)
	for {
		head := 1
		if !c.started {
			head = 0
		}
		if len(c.rest) < head+4 {
			break
		}
		size := head + int(binary.BigEndian.Uint32(c.rest[head:]))
		if len(c.rest) < size {
			break
		}
		if c.started && (c.rest[0] == 'E' || c.rest[0] == 'Q') { // Execute, or a simple query
			c.tap.statements.Add(1)
		}
		c.started = true
		c.rest = c.rest[size:]
	}
	return c.Conn.Write(b)
}

// tapped is a Client whose traffic is counted.
func (s *scene) tapped(opts ...postgres.Option) (*sqllock.Client, *wiretap) {
	s.Helper()
	cfg, err := pgxpool.ParseConfig(s.dsn)
	require.NoError(s, err)
	var tap wiretap
	cfg.ConnConfig.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		tap.connections.Add(1)
		return &tappedConn{Conn: conn, tap: &tap}, nil
	}
	cfg.ConnConfig.TLSConfig, cfg.ConnConfig.Fallbacks = nil, nil // encrypted, there would be nothing to count
	pool, err := pgxpool.NewWithConfig(s.Context(), cfg)
	require.NoError(s, err)
	s.Cleanup(pool.Close)
	c := sqllock.New(postgres.Advisory(pool, opts...))
	s.Cleanup(func() { assert.NoError(s, c.Close(context.Background())) })
	return c, &tap
}

// TestAdvisoryThousandWaitersCostOneRoundTripAnInterval and one connection, whatever they wait for: behind a waiting writer, readers
// sleep as well. Those who want to lock exclusively have two statements in it: somebody else has the intent, which they try to get too.
func TestAdvisoryThousandWaitersCostOneRoundTripAnInterval(t *testing.T) {
	t.Parallel()
	const poll = 200 * time.Millisecond
	for name, mode := range map[string][]sqllock.Option{"exclusive": nil, "shared": {sqllock.Shared()}, "permit": {sqllock.Permits(3)}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			reader := s.acquire(s.client(), "n", sqllock.Shared()) // so that readers wait for nothing but the writer in front of them
			writer := s.waits(s.client(), "n")
			c, tap := s.tapped(postgres.Poll(poll))
			ctx, cancel := context.WithCancelCause(t.Context())
			errEnough := errors.New("enough")
			var all sync.WaitGroup
			for range 1000 {
				all.Go(func() {
					_, err := c.Acquire(ctx, "n", mode...)
					assert.ErrorIs(t, err, sqllock.ErrNotAcquired)
					assert.ErrorIs(t, err, errEnough)
				})
			}
			s.eventually(func() bool { return s.waiters("n") == 2 }, "they wait")
			each := int64(1)
			if mode == nil {
				each = 2
			}
			before, start := tap.statements.Load(), time.Now()
			s.eventually(func() bool { return tap.statements.Load() >= before+6*each }, "they poll")
			// The pauses between polls are at least four fifths of the interval. The first attempt, and the first poll, may be just on their way.
			most := (int64(time.Since(start)/(poll*4/5)) + 3) * each
			assert.LessOrEqual(t, tap.statements.Load()-before, most, "statements in %v", time.Since(start))
			assert.Equal(t, int64(1), tap.connections.Load())
			cancel(errEnough)
			all.Wait()
			s.release(reader)
			s.release(s.granted(writer, 0))
			s.onlySessionsLeft()
		})
	}
}

// TestAdvisoryHeldLocksCostOneConnectionAndNoGoroutines holds as many as MaxLocks allows, in a process of its own, where goroutines can be counted,
// and on a server of its own, whose lock table this would fill up for others.
func TestAdvisoryHeldLocksCostOneConnectionAndNoGoroutines(t *testing.T) {
	const locks = 5000
	inHelper(func(dsn string, ask *bufio.Scanner, tell io.Writer) error {
		ctx := context.Background()
		pool, err := pgxpool.New(ctx, dsn)
		if err != nil {
			return err
		}
		c := sqllock.New(postgres.Advisory(pool), sqllock.Owner("holder"))
		before := runtime.NumGoroutine()
		names := make([]string, locks)
		for i := range names {
			names[i] = fmt.Sprint("n", i)
		}
		set, err := c.AcquireAll(ctx, names)
		if err != nil {
			return err
		}
		after := runtime.NumGoroutine()
		for range 100 { // without those that are about to end
			time.Sleep(time.Millisecond)
			after = min(after, runtime.NumGoroutine())
		}
		_, _ = fmt.Fprintln(tell, "more goroutines:", after-before)
		ask.Scan()
		_, _ = fmt.Fprintln(tell, "released:", set.Release(ctx))
		ask.Scan()
		_, _ = fmt.Fprintln(tell, "closed:", c.Close(ctx))
		ask.Scan()
		return nil
	})
	t.Parallel()
	server := testdb.StartPostgres(t)
	s := sceneAt(t, server.DSN())
	h := startHelper(t, s.dsn)
	var more int
	_, err := fmt.Sscanf(h.line(), "more goroutines: %d", &more)
	require.NoError(t, err)
	assert.LessOrEqual(t, more, 4)
	const connections = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'holder'"
	assert.Equal(t, int64(1), s.int(connections))
	const held = `SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND mode = 'ExclusiveLock' AND objsubid = 1`
	assert.Equal(t, int64(locks), s.int(held))
	infos, err := s.eyes.Locks(t.Context())
	require.NoError(t, err)
	assert.Len(t, infos, locks)
	require.Equal(t, "released: <nil>", h.next())
	assert.Zero(t, s.int(held))
	s.onlySessionsLeft()
	require.Equal(t, "closed: <nil>", h.next())
	s.eventually(func() bool { return s.int(connections) == 0 }, "the connection is closed")
}
