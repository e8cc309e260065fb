package postgres_test

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sqllock/toolkit/internal/testdb"
	"github.com/sqllock/toolkit/postgres"
	"github.com/sqllock/toolkit/sqllock"
)

// backends are the two, on a pool.
var backends = map[string]func(*pgxpool.Pool) backend{
	"Advisory": func(pool *pgxpool.Pool) backend { return postgres.Advisory(pool) },
	"Table":    func(pool *pgxpool.Pool) backend { return postgres.Table(pool) },
}

// journal is what a Client logs.
type journal chan string

func newJournal() journal { return make(journal, 1000) }

// find looks through what has been logged since it was last called.
func (j journal) find(what string) (event string) {
	for len(j) > 0 {
		if event := <-j; strings.Contains(event, what) {
			return event
		}
	}
	return ""
}

func (j journal) Enabled(context.Context, slog.Level) bool { return true }
func (j journal) WithAttrs([]slog.Attr) slog.Handler       { return j }
func (j journal) WithGroup(string) slog.Handler            { return j }

func (j journal) Handle(_ context.Context, r slog.Record) error {
	event := r.Message
	r.Attrs(func(a slog.Attr) bool {
		event += fmt.Sprint(" ", a.Value)
		return true
	})
	select {
	case j <- event:
	default: // nobody reads
	}
	return nil
}

// soon has leases renewed every two seconds.
func soon(b sqllock.Backend) []sqllock.ClientOption {
	if b.Capabilities().Leases {
		return []sqllock.ClientOption{sqllock.TTL(6 * time.Second)}
	}
	return nil
}

// numbered are so many names.
func numbered(n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprint("n", i)
	}
	return names
}

// fill has a connection take advisory locks of its own until the server's lock table is full.
func (s *scene) fill(conn *pgx.Conn) {
	s.Helper()
	_, err := conn.Exec(s.Context(), "SELECT pg_advisory_lock(1, i) FROM generate_series(1, 10000000) i")
	var full *pgconn.PgError
	require.ErrorAs(s, err, &full)
	require.Equal(s, "53200", full.Code)
}

// TestTenThousandLocksAreHeld by one Client of either backend. In the case of Advisory the server must have been given the room for them.
func TestTenThousandLocksAreHeld(t *testing.T) {
	t.Parallel()
	server := testdb.StartPostgres(t, "max_locks_per_transaction=256", "max_connections=50")
	migrate(t, server.DSN())
	s := sceneAt(t, server.DSN())
	const locks, at = 10_000, 500
	for name, b := range map[string]sqllock.Backend{"Advisory": postgres.Advisory(s.pool, postgres.MaxLocks(2*locks)), "Table": postgres.Table(s.pool)} {
		t.Run(name, func(t *testing.T) {
			ctx := t.Context()
			c, other := sqllock.New(b), sqllock.New(b)
			t.Cleanup(func() { assert.NoError(t, other.Close(context.Background())) })
			t.Cleanup(func() { assert.NoError(t, c.Close(context.Background())) })
			var sets []*sqllock.Set
			for names := range slices.Chunk(numbered(locks), at) {
				set, err := c.AcquireAll(ctx, names)
				require.NoError(t, err)
				sets = append(sets, set)
			}
			for _, set := range sets {
				require.NoError(t, set.Err())
				require.NoError(t, set.Locks()[0].Verify(ctx))
				s.refused(other, set.Locks()[1].Name())
			}
			infos, err := c.Locks(ctx)
			require.NoError(t, err)
			require.Len(t, infos, locks)
			for _, set := range sets {
				require.NoError(t, set.Release(ctx))
			}
			infos, err = c.Locks(ctx)
			require.NoError(t, err)
			require.Empty(t, infos)
		})
	}
}

// TestFullLockTableIsNamed by everything that meets it, and nothing that was held is lost by it: a lease is renewed again once there is room. It is
// other programs' locks that fill it.
func TestFullLockTableIsNamed(t *testing.T) {
	t.Parallel()
	server := testdb.StartPostgres(t, "max_locks_per_transaction=10", "max_connections=20", "autovacuum=off")
	migrate(t, server.DSN())
	for name, open := range backends {
		t.Run(name, func(t *testing.T) {
			ctx := t.Context()
			s := sceneAt(t, server.DSN())
			b, logged := open(s.pool), newJournal()
			c := sqllock.New(b, append(soon(b), sqllock.Logger(slog.New(logged)))...)
			t.Cleanup(func() { assert.NoError(t, c.Close(context.Background())) })
			held := s.acquire(c, "held")
			db := connect(t, server.DSN())
			guarded, err := db.BeginTx(ctx, nil)
			require.NoError(t, err)
			locking, err := db.BeginTx(ctx, nil)
			require.NoError(t, err)
			others := s.session()
			s.fill(others)

			_, tryErr := c.TryAcquire(ctx, "another")
			_, err = c.Acquire(ctx, "yet another")
			for what, err := range map[string]error{
				"TryAcquire": tryErr, "Acquire": err, "LockTx": b.LockSQLTx(ctx, locking, "locked"), "Guard": b.GuardSQL(ctx, guarded, held),
			} {
				unknown(t, err, what)
				assert.ErrorIs(t, err, sqllock.ErrTooMany, what)
				assert.ErrorContains(t, err, "max_locks_per_transaction", what)
			}
			require.NoError(t, guarded.Rollback())
			require.NoError(t, locking.Rollback())
			if c.Capabilities().Leases {
				s.eventually(func() bool { return logged.find("renewal failed") != "" }, "a renewal fails")
			}
			require.NoError(t, held.Err())
			before := held.Deadline()
			require.NoError(t, others.Close(ctx))
			if c.Capabilities().Leases {
				s.eventually(func() bool { return held.Deadline().After(before.Add(time.Second)) }, "it is renewed again")
			}
			require.NoError(t, again(t, func() error { return held.Verify(ctx) }))
			require.NoError(t, again(t, func() error {
				l, err := c.TryAcquire(ctx, "another")
				if err == nil {
					s.release(l)
				}
				return err
			}))
			s.release(held)
		})
	}
}

// TestThousandWaitersShareConnections on one name and on a name each. All are served, or told when they give up.
func TestThousandWaitersShareConnections(t *testing.T) {
	t.Parallel()
	const waiters = 1000
	for name, open := range backends {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			ctx := t.Context()
			b := open(s.pool)
			holder, waiter := sqllock.New(b), sqllock.New(b)
			for _, c := range []*sqllock.Client{holder, waiter} {
				t.Cleanup(func() { assert.NoError(t, c.Close(context.Background())) })
			}
			names := append(numbered(waiters), "one")
			set, err := holder.AcquireAll(ctx, names)
			require.NoError(t, err)
			connections := func() int64 {
				return s.int("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()")
			}
			before := connections()

			impatient, giveUp := context.WithCancel(ctx)
			var patient, rest sync.WaitGroup
			for i := range waiters {
				for _, name := range []string{names[i], "one"} {
					patient.Go(func() {
						l, err := waiter.Acquire(ctx, name, sqllock.Wait(time.Minute))
						if assert.NoError(t, err) {
							assert.NoError(t, l.Release(ctx))
						}
					})
				}
				rest.Go(func() {
					_, err := waiter.Acquire(impatient, "one")
					assert.ErrorIs(t, err, sqllock.ErrNotAcquired)
					assert.ErrorIs(t, err, context.Canceled)
				})
			}
			waiting := func() int {
				infos, err := waiter.Locks(ctx)
				require.NoError(t, err)
				n := 0
				for _, i := range infos {
					if i.Waiting {
						n++
					}
				}
				return n
			}
			s.eventually(func() bool { return waiting() >= waiters+1 }, "somebody waits for each name")
			assert.LessOrEqual(t, connections(), before+3, "all wait on the connections of one Client")
			giveUp()
			rest.Wait()
			require.NoError(t, set.Release(ctx))
			patient.Wait()
		})
	}
}

// TestServerWithoutConnectionsToSpare is full of other programs. What is held stays held, and is renewed, and who comes is told why not.
func TestServerWithoutConnectionsToSpare(t *testing.T) {
	t.Parallel()
	server := testdb.StartPostgres(t, "max_connections=25", "superuser_reserved_connections=0")
	migrate(t, server.DSN())
	ctx := t.Context()
	admin := connect(t, server.DSN())
	type member struct {
		client, late *sqllock.Client
		held         *sqllock.Lock
		before       time.Time
	}
	members := make(map[string]*member)
	for name, open := range backends {
		pool := poolAt(t, server.DSN())
		b := open(pool)
		m := &member{client: sqllock.New(b, soon(b)...), late: sqllock.New(b)}
		t.Cleanup(func() { assert.NoError(t, m.client.Close(context.Background())) })
		t.Cleanup(func() { assert.NoError(t, m.late.Close(context.Background())) })
		var err error
		m.held, err = m.client.Acquire(ctx, "n", sqllock.Wait(time.Minute))
		require.NoError(t, err)
		members[name] = m
	}
	// The connection that listens is there too.
	require.Eventually(t, func() bool {
		var n int
		err := admin.QueryRowContext(ctx, "SELECT count(*) FROM pg_stat_activity WHERE query ILIKE '%sqllock_sessions WHERE id = ANY%'").Scan(&n)
		return err == nil && n > 0
	}, sceneSlack, time.Millisecond)
	require.NoError(t, admin.Close())

	var others []*pgx.Conn
	for {
		conn, err := pgx.Connect(ctx, server.DSN())
		if err != nil {
			require.ErrorContains(t, err, "53300")
			break
		}
		others = append(others, conn)
	}
	members["Table"].before = members["Table"].held.Deadline()
	for name, m := range members {
		_, err := m.late.TryAcquire(ctx, "n")
		unknown(t, err, name)
		assert.ErrorContains(t, err, "too many clients", name)
		_, err = m.late.Acquire(ctx, "n", sqllock.Wait(time.Minute))
		unknown(t, err, name)
		l, err := m.client.TryAcquire(ctx, "another")
		require.NoError(t, err, name)
		require.NoError(t, l.Release(ctx), name)
	}
	lease := members["Table"]
	require.Eventually(t, func() bool { return lease.held.Deadline().After(lease.before.Add(time.Second)) }, sqllock.DefaultTTL, time.Millisecond, "it is renewed")
	for _, conn := range others {
		require.NoError(t, conn.Close(ctx))
	}
	for _, m := range members {
		require.NoError(t, m.held.Err())
		require.ErrorIs(t, again(t, func() error { _, err := m.late.TryAcquire(ctx, "n"); return err }), sqllock.ErrNotAcquired)
		require.NoError(t, m.held.Release(ctx))
	}
}

// TestExhaustedPoolHoldsNothingUp: an application that has taken every connection of its pool goes on to acquire, renew and release.
func TestExhaustedPoolHoldsNothingUp(t *testing.T) {
	t.Parallel()
	for name, open := range backends {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx := t.Context()
			dsn := testdb.Postgres(t)
			migrate(t, dsn)
			pool := poolAt(t, dsn+"&pool_max_conns=1")
			tx, err := pool.Begin(ctx)
			require.NoError(t, err)
			b := open(pool)
			c := sqllock.New(b, soon(b)...)
			t.Cleanup(func() { assert.NoError(t, c.Close(context.Background())) })
			l, err := c.Acquire(ctx, "n")
			require.NoError(t, err)
			before := l.Deadline()
			if !before.IsZero() {
				require.Eventually(t, func() bool { return l.Deadline().After(before.Add(time.Second)) }, sqllock.DefaultTTL, time.Millisecond, "it is renewed")
			}
			_, err = c.TryAcquire(ctx, "n")
			require.ErrorIs(t, err, sqllock.ErrNotAcquired)
			require.NoError(t, l.Release(ctx))
			require.NoError(t, tx.Rollback(ctx))
		})
	}
}

// TestNamesThatTheDatabaseCannotKeepAreAnError of its own, in a database that is not in UTF-8: a Table keeps what is valid there byte for byte,
// Advisory locks a hash.
func TestNamesThatTheDatabaseCannotKeepAreAnError(t *testing.T) {
	t.Parallel()
	server := testdb.StartPostgres(t)
	admin := sceneAt(t, server.DSN())
	for encoding, invalid := range map[string]string{"LATIN1": "", "SQL_ASCII": "", "EUC_JP": "\u65e5\u672c"} {
		admin.exec("CREATE DATABASE in_" + encoding + " TEMPLATE template0 ENCODING '" + encoding + "' LC_COLLATE 'C' LC_CTYPE 'C'")
		dsn := strings.Replace(server.DSN(), "/postgres?", "/in_"+strings.ToLower(encoding)+"?", 1)
		migrate(t, dsn)
		pool := poolAt(t, dsn)
		for name, open := range backends {
			c := sqllock.New(open(pool))
			t.Cleanup(func() { assert.NoError(t, c.Close(context.Background())) })
			for _, lock := range []string{"caf\u00e9", "\u65e5\u672c"} {
				l, err := c.TryAcquire(t.Context(), lock)
				if name == "Table" && lock == invalid {
					unknown(t, err, lock)
					assert.ErrorContains(t, err, "invalid byte sequence")
					continue
				}
				require.NoError(t, err, "%s %s %s", encoding, name, lock)
				infos, err := c.Locks(t.Context())
				require.NoError(t, err)
				require.Len(t, infos, 1)
				assert.Equal(t, lock, infos[0].Name, "%s %s", encoding, name)
				require.NoError(t, l.Release(t.Context()))
			}
		}
	}
}

// TestTableRefusesAStandby where nothing can be written. The Client need not be made again when that becomes the primary.
func TestTableRefusesAStandby(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	primary := testdb.StartPostgres(t)
	migrate(t, primary.DSN())
	replica := primary.Replica()
	c := join(t, replica.DSN(), pgx.QueryExecModeCacheStatement).client
	_, tryErr := c.TryAcquire(ctx, "n")
	_, err := c.Acquire(ctx, "n")
	for what, err := range map[string]error{"Ping": c.Ping(ctx), "TryAcquire": tryErr, "Acquire": err} {
		require.ErrorIs(t, err, sqllock.ErrRefused, what)
		require.NotErrorIs(t, err, sqllock.ErrNotAcquired, what)
		require.ErrorContains(t, err, "target_session_attrs", what)
	}
	replica.Promote()
	l, err := c.TryAcquire(ctx, "n")
	require.NoError(t, err)
	require.NoError(t, l.Release(ctx))
}
