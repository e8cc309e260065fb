package postgres_test

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sqllock/toolkit/internal/testdb"
	"github.com/sqllock/toolkit/postgres"
	"github.com/sqllock/toolkit/sqllock"
)

// refuses asks for everything that a Client could be asked first. It must say each time what is wrong with this server, and never wait.
func refuses(t *testing.T, dsn, advice string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	c := sqllock.New(postgres.Advisory(poolAt(t, dsn)))
	t.Cleanup(func() { assert.NoError(t, c.Close(context.Background())) })
	for range 3 {
		for what, ask := range map[string]func() error{
			"Ping":              func() error { return c.Ping(ctx) },
			"TryAcquire":        func() error { _, err := c.TryAcquire(ctx, "n"); return err },
			"Acquire":           func() error { _, err := c.Acquire(ctx, "n"); return err },
			"TryAcquire shared": func() error { _, err := c.TryAcquire(ctx, "n", sqllock.Shared()); return err },
			"Acquire a permit":  func() error { _, err := c.Acquire(ctx, "n", sqllock.Permits(2)); return err },
			"AcquireAll":        func() error { _, err := c.AcquireAll(ctx, []string{"n", "m"}); return err },
			"ForceRelease":      func() error { return c.ForceRelease(ctx, "n") },
		} {
			err := ask()
			if assert.ErrorIs(t, err, sqllock.ErrRefused, what) {
				assert.ErrorContains(t, err, advice, what)
				assert.NotErrorIs(t, err, sqllock.ErrNotAcquired, what)
			}
		}
	}
	require.NoError(t, ctx.Err(), "nobody waits for what can never be")
}

// TestAdvisoryRefusesSharedServerConnections asks through PgBouncers that give a server connection to whoever comes next, and with it the
// locks. Others are busy there meanwhile, with short transactions and with one that stays open.
func TestAdvisoryRefusesSharedServerConnections(t *testing.T) {
	t.Parallel()
	for name, settings := range map[string][]string{
		"TransactionsOnOneConnection": {"pool_mode=transaction", "default_pool_size=1"},
		"TransactionsInTurn":          {"pool_mode=transaction", "default_pool_size=20", "server_round_robin=1"},
		"TransactionsLastFirst":       {"pool_mode=transaction", "default_pool_size=20", "server_round_robin=0"},
		"StatementsInTurn":            {"pool_mode=statement", "default_pool_size=20", "server_round_robin=1"},
		"StatementsLastFirst":         {"pool_mode=statement", "default_pool_size=20", "server_round_robin=0"},
	} {
		for load, busy := range map[string]bool{"Alone": false, "Busy": true} {
			t.Run(name+load, func(t *testing.T) {
				t.Parallel()
				s := newScene(t)
				through := testdb.PgBouncer(t, s.dsn, settings...)
				ctx, stop := context.WithCancel(t.Context())
				var others sync.WaitGroup
				defer others.Wait()
				defer stop()
				if busy {
					keepBusy(ctx, t, &others, through)
				}
				refuses(t, through, "session mode")
				// A lock that stayed behind would be nobody's, until the pooler happens to close that connection.
				assert.Zero(t, s.int("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"))
			})
		}
	}
}

// keepBusy has others use a pooler until ctx ends.
func keepBusy(ctx context.Context, t *testing.T, others *sync.WaitGroup, dsn string) {
	t.Helper()
	cfg, err := pgx.ParseConfig(dsn)
	require.NoError(t, err)
	cfg.DefaultQueryExecMode = pgx.QueryExecModeSimpleProtocol
	for range 6 {
		conn, err := pgx.ConnectConfig(ctx, cfg)
		require.NoError(t, err)
		others.Go(func() {
			defer conn.Close(context.Background())
			for ctx.Err() == nil {
				if _, err := conn.Exec(ctx, "SELECT count(*) FROM pg_class"); err != nil && ctx.Err() == nil {
					t.Errorf("the pooler is to be busy: %v", err)
					return
				}
			}
		})
	}
}

// TestAdvisoryWorksThroughAPoolerInSessionMode has each Client keep a server connection of its own, until it closes.
func TestAdvisoryWorksThroughAPoolerInSessionMode(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	s := newScene(t)
	through := sceneAt(t, testdb.PgBouncer(t, s.dsn, "pool_mode=session", "default_pool_size=30"))
	var inside atomic.Int32
	var all sync.WaitGroup
	for range 3 {
		c := through.client()
		require.NoError(t, c.Ping(ctx))
		for range 2 {
			all.Go(func() {
				for range 20 {
					l, err := c.Acquire(ctx, "n")
					if !assert.NoError(t, err) {
						return
					}
					assert.EqualValues(t, 1, inside.Add(1), "somebody else holds it too")
					assert.NoError(t, l.Verify(ctx))
					inside.Add(-1)
					assert.NoError(t, l.Release(ctx))
				}
			})
		}
	}
	all.Wait()
	direct, pooled := s.client(), through.client()
	held := through.acquire(pooled, "n")
	s.refused(direct, "n")
	got := s.waits(direct, "n")
	through.release(held)
	s.release(s.granted(got, 0))

	// The server process goes back to the pool when its session ends, and then to somebody else: nothing may be left on it.
	left := through.acquire(pooled, "n")
	require.NoError(t, pooled.Close(ctx))
	assert.ErrorIs(t, left.Err(), sqllock.ErrClosed)
	s.release(s.acquire(direct, "n"))
	for range 5 {
		require.NoError(t, through.client().Ping(ctx))
	}
	s.onlySessionsLeft()
}

// TestAdvisoryRefusesAStandby whose locks are its own. The Client need not be made again when that becomes the primary.
func TestAdvisoryRefusesAStandby(t *testing.T) {
	t.Parallel()
	replica := testdb.StartPostgres(t).Replica()
	refuses(t, replica.DSN(), "target_session_attrs")
	s := sceneAt(t, replica.DSN())
	c := s.client()
	require.ErrorIs(t, c.Ping(t.Context()), sqllock.ErrRefused)
	assert.Zero(t, s.int("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"))
	replica.Promote()
	s.release(s.acquire(c, "n"))
}

// TestAdvisoryRefusesCockroachDB which answers every call of an advisory function with success. Older versions of it have -1 for every
// process id.
func TestAdvisoryRefusesCockroachDB(t *testing.T) {
	t.Parallel()
	for name, pid := range map[string]string{"Old": "-1", "New": "123456789"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const version = "CockroachDB CCL v23.2.5 (x86_64-pc-linux-gnu, built 2024/05/01 00:00:00, go1.21.8 X:nocoverageredesign)"
			refuses(t, fakeServer(t, pid, version), "CockroachDB")
		})
	}
}

// fakeServer answers the first question of a session with this.
func fakeServer(t *testing.T, pid, version string) (dsn string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var all sync.WaitGroup
	all.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer conn.Close()
				if err := serveFake(conn, pid, version); err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
					t.Error(err)
				}
			})
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		all.Wait()
	})
	return "postgres://root@" + listener.Addr().String() + "/defaultdb?sslmode=disable"
}

func serveFake(conn net.Conn, pid, version string) error {
	b := pgproto3.NewBackend(conn, conn)
	if _, err := b.ReceiveStartupMessage(); err != nil {
		return err
	}
	b.Send(&pgproto3.AuthenticationOk{})
	b.Send(&pgproto3.BackendKeyData{ProcessID: 1, SecretKey: []byte{0, 0, 0, 1}})
	b.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
	for {
		if err := b.Flush(); err != nil {
			return err
		}
		message, err := b.Receive()
		if err != nil {
			return err
		}
		switch message.(type) {
		case *pgproto3.Parse:
			b.Send(&pgproto3.ParseComplete{})
		case *pgproto3.Bind:
			b.Send(&pgproto3.BindComplete{})
		case *pgproto3.Describe:
			b.Send(&pgproto3.RowDescription{Fields: make([]pgproto3.FieldDescription, 4)})
		case *pgproto3.Execute:
			b.Send(&pgproto3.DataRow{Values: [][]byte{[]byte(pid), []byte(version), []byte("f"), []byte("0")}})
			b.Send(&pgproto3.CommandComplete{CommandTag: []byte("SELECT 1")})
		case *pgproto3.Sync:
			b.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
		case *pgproto3.Terminate:
			return nil
		}
	}
}

// TestAdvisoryRefusesAProcessThatSomebodyUsed through a pooler in session mode that does not clean up behind its clients.
func TestAdvisoryRefusesAProcessThatSomebodyUsed(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	s := newScene(t)
	dsn := testdb.PgBouncer(t, s.dsn, "pool_mode=session", "default_pool_size=2", "server_reset_query=")
	first := sqllock.New(postgres.Advisory(poolAt(t, dsn)))
	l, err := first.Acquire(ctx, "n")
	require.NoError(t, err)
	require.NoError(t, l.Release(ctx))
	require.NoError(t, first.Close(ctx))
	refused := 0
	for range 5 {
		second := sqllock.New(postgres.Advisory(poolAt(t, dsn)))
		err := second.Ping(ctx)
		if errors.Is(err, sqllock.ErrRefused) {
			refused++
		} else {
			require.NoError(t, err)
		}
		require.NoError(t, second.Close(ctx))
	}
	assert.Positive(t, refused)
}
