package postgres_test

import (
	"context"
	"net"
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

// blackHole dials connections that can be made to lose everything in both directions, the news of their own end included. A Silencer
// alone loses what comes back.
type blackHole struct {
	testdb.Silencer
	mu    sync.Mutex
	open  bool
	conns []net.Conn
}

// lostConn is a connection of which the other side hears nothing any more.
type lostConn struct {
	net.Conn
	hole   *blackHole
	closed atomic.Bool
}

func (b *blackHole) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := b.Silencer.Dial(ctx, network, address)
	if err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.conns = append(b.conns, conn)
	return &lostConn{Conn: conn, hole: b}, nil
}

func (b *blackHole) swallows() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.open
}

func (b *blackHole) Silence() error {
	b.mu.Lock()
	b.open = true
	b.mu.Unlock()
	return b.Silencer.Silence()
}

// Close really closes what is left.
func (b *blackHole) Close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range b.conns {
		_ = c.Close()
	}
}

func (c *lostConn) Write(p []byte) (int, error) {
	if c.hole.swallows() {
		return len(p), nil
	}
	return c.Conn.Write(p)
}

func (c *lostConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if c.closed.Load() {
		return 0, net.ErrClosed
	}
	return n, err
}

// Close tells the other side only if anything can reach it.
func (c *lostConn) Close() error {
	if c.hole.swallows() {
		c.closed.Store(true)
		return c.SetDeadline(time.Unix(1, 0)) // whoever reads is to find out
	}
	return c.Conn.Close()
}

// stall dials connections that can be made to deliver nothing more, as a proxy that hangs does. What is written arrives, and the end too.
type stall struct{ on atomic.Bool }

type stalledConn struct {
	net.Conn
	stall *stall
}

func (s *stall) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return stalledConn{conn, s}, nil
}

func (s *stall) Silence() error {
	s.on.Store(true)
	return nil
}

func (c stalledConn) Read(p []byte) (int, error) {
	for {
		n, err := c.Conn.Read(p)
		if err != nil || !c.stall.on.Load() {
			return n, err
		}
	}
}

// slowTracer takes its time over each loss, in which others can get what has not been told yet.
type slowTracer struct{ sqllock.NopTracer }

func (slowTracer) TraceLost(sqllock.LostData) { time.Sleep(50 * time.Millisecond) }

// TestAdvisoryHolderKnowsOfSilentLossFirst loses packets between a holder and the server, without an error to either. The holder has to give
// up before the server gives the lock to somebody else, who tries all the time.
func TestAdvisoryHolderKnowsOfSilentLossFirst(t *testing.T) {
	t.Parallel()
	for name, lost := range map[string]func(t *testing.T) (dial func(context.Context, string, string) (net.Conn, error), silence func() error){
		// The server hears at once when the holder hangs up. So nothing but the order in which that does things makes it know first.
		"Stalled": func(*testing.T) (func(context.Context, string, string) (net.Conn, error), func() error) {
			network := new(stall)
			return network.Dial, network.Silence
		},
		"WayBack": func(*testing.T) (func(context.Context, string, string) (net.Conn, error), func() error) {
			network := new(testdb.Silencer)
			return network.Dial, network.Silence
		},
		// The server has only its own timeouts.
		"BothWays": func(t *testing.T) (func(context.Context, string, string) (net.Conn, error), func() error) {
			network := new(blackHole)
			t.Cleanup(network.Close)
			return network.Dial, network.Silence
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx := t.Context()
			s := newScene(t)
			dial, silence := lost(t)
			cfg, err := pgxpool.ParseConfig(s.dsn)
			require.NoError(t, err)
			cfg.ConnConfig.DialFunc = dial
			pool, err := pgxpool.NewWithConfig(ctx, cfg)
			require.NoError(t, err)
			t.Cleanup(pool.Close)
			const timeout = 3 * time.Second
			holder := sqllock.New(postgres.Advisory(pool, postgres.SessionTimeout(timeout)), sqllock.WithTracer(slowTracer{}))
			t.Cleanup(func() { assert.NoError(t, holder.Close(context.Background())) })
			other := s.client()

			modes := map[string][]sqllock.Option{"x": nil, "s": {sqllock.Shared()}, "p": {sqllock.Permits(1)}}
			held := make(map[string]*sqllock.Lock)
			for name, mode := range modes {
				held[name] = s.acquire(holder, name, mode...)
				require.NoError(t, held[name].Verify(ctx))
			}
			require.NoError(t, silence())
			silenced := time.Now()
			var all sync.WaitGroup
			for name := range modes {
				all.Go(func() {
					l := held[name]
					for {
						next, err := other.TryAcquire(ctx, name)
						if err == nil {
							// It was granted before this looks: whoever does not say now that it is lost was told too late.
							at := time.Since(silenced)
							select {
							case <-l.Done():
							default:
								t.Errorf("%s: granted to another, and its holder has not been told", name)
							}
							assert.ErrorIs(t, l.Err(), sqllock.ErrLost)
							t.Logf("%s: granted to another %v after the last packet", name, at)
							assert.NoError(t, next.Release(ctx))
							return
						}
						if !assert.ErrorIs(t, err, sqllock.ErrNotAcquired) {
							return
						}
						if time.Since(silenced) > timeout+sceneSlack {
							t.Errorf("%s: the server still keeps it, after %v", name, time.Since(silenced))
							return
						}
					}
				})
				all.Go(func() {
					select {
					case <-held[name].Done():
						t.Logf("%s: its holder is told %v after the last packet", name, time.Since(silenced))
					case <-time.After(timeout + sceneSlack):
						t.Errorf("%s: its holder is not told", name)
					}
				})
			}
			all.Wait()
			for name, l := range held {
				assert.ErrorIs(t, l.Err(), sqllock.ErrLost, name)
				assert.ErrorIs(t, l.Release(ctx), sqllock.ErrLost, name)
			}
		})
	}
}

// TestAdvisoryAfterSilenceAllIsWell restores the network when the holder has given up: what it held it has lost, and it can begin anew.
// While nothing gets through, nobody is told that somebody holds what cannot be asked for.
func TestAdvisoryAfterSilenceAllIsWell(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	s := newScene(t)
	var network testdb.Silencer
	cfg, err := pgxpool.ParseConfig(s.dsn)
	require.NoError(t, err)
	cfg.ConnConfig.DialFunc = network.Dial
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	c := sqllock.New(postgres.Advisory(pool, postgres.SessionTimeout(3*time.Second)))
	t.Cleanup(func() { assert.NoError(t, c.Close(context.Background())) })
	l := s.acquire(c, "n")
	blocked := s.acquire(s.client(), "blocked")
	got := s.waits(c, "blocked")

	require.NoError(t, network.Silence())
	s.ends(l)
	require.ErrorIs(t, l.Err(), sqllock.ErrLost)
	_, err = c.TryAcquire(ctx, "n") // with a connection that will not come about
	unknown(t, err, "TryAcquire")
	_, err = c.Acquire(ctx, "n")
	unknown(t, err, "Acquire")

	require.NoError(t, network.Restore())
	s.release(blocked)
	s.release(s.granted(got, 4*time.Second), s.acquire(c, "n"))
	require.ErrorIs(t, l.Err(), sqllock.ErrLost)
	s.onlySessionsLeft()
}
