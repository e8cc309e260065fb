package postgres_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgconn/ctxwatch"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sqllock/toolkit/internal/testdb"
	"github.com/sqllock/toolkit/postgres"
	"github.com/sqllock/toolkit/sqllock"
)

// dead makes a holder of name whose process died without a word.
func dead(t *testing.T, p party, name string) {
	t.Helper()
	ctx := t.Context()
	l, err := p.client.Acquire(ctx, name) // so that the name is there
	require.NoError(t, err)
	require.NoError(t, l.Release(ctx))
	err = pgx.BeginFunc(ctx, p.pool, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `INSERT INTO sqllock_sessions (id, owner, opened_at, expires_at)
			SELECT -id, 'dead', now(), now() - interval '1 second' FROM sqllock_resources WHERE name = $1`, name)
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `WITH r AS (UPDATE sqllock_resources SET token = token + 1 WHERE name = $1 RETURNING id, token)
			INSERT INTO sqllock_holders (resource, token, mode, permits, session, acquired_at) SELECT id, token, 'x', 0, -id, now() FROM r`, name)
		return err
	})
	require.NoError(t, err)
}

// TestEvictionKeepsWhatTheSameAttemptGot asks at once for a name that is free and one whose holder is dead, which takes a second
// transaction. The first name must not be found held by ourselves then: nobody would ever release it.
func TestEvictionKeepsWhatTheSameAttemptGot(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	dsn := testdb.Postgres(t)
	migrate(t, dsn)
	p := join(t, dsn, pgx.QueryExecModeCacheStatement)
	dead(t, p, "of the dead")

	set, err := p.client.AcquireAll(ctx, []string{"free", "of the dead"}, sqllock.Wait(10*time.Second))
	require.NoError(t, err)
	require.NoError(t, set.Release(ctx))
	locks, err := p.client.Locks(ctx)
	require.NoError(t, err)
	assert.Empty(t, locks)
}

// TestPurgeSparesWhatIsGrantedMeanwhile purges beside grants. The name of a holder must not go: whoever asked for it next would
// hold it too.
func TestPurgeSparesWhatIsGrantedMeanwhile(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	dsn := testdb.Postgres(t)
	migrate(t, dsn)
	p := join(t, dsn, pgx.QueryExecModeCacheStatement)
	end := time.Now().Add(3 * time.Second)
	var all sync.WaitGroup
	for range 3 {
		all.Go(func() {
			for time.Now().Before(end) {
				_, err := p.table.Purge(ctx, 0)
				assert.NoError(t, err)
			}
		})
	}
	for range 4 {
		all.Go(func() {
			for time.Now().Before(end) {
				l, err := p.client.Acquire(ctx, "n", sqllock.Wait(10*time.Second))
				if !assert.NoError(t, err) {
					return
				}
				err = pgx.BeginFunc(ctx, p.pool, func(tx pgx.Tx) error { return p.table.Guard(ctx, tx, l) })
				if !assert.NoError(t, err) || !assert.NoError(t, l.Release(ctx)) {
					return
				}
			}
		})
	}
	all.Wait()
}

// TestPurgeRemovesNamesOfTheDead finds a name that only a process that crashed has ever held.
func TestPurgeRemovesNamesOfTheDead(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	dsn := testdb.Postgres(t)
	migrate(t, dsn)
	p := join(t, dsn, pgx.QueryExecModeCacheStatement)
	dead(t, p, "n")
	n, err := p.table.Purge(ctx, 0)
	require.NoError(t, err)
	assert.EqualValues(t, 1, n)
	var holders int
	require.NoError(t, p.pool.QueryRow(ctx, "SELECT count(*) FROM sqllock_holders").Scan(&holders))
	assert.Zero(t, holders)
}

// TestLateEnlistingAddsNothing runs the statement of a session that has reconciled since it was sent. A waiter that its process
// does not know would stand in everybody's way.
func TestLateEnlistingAddsNothing(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	dsn := testdb.Postgres(t)
	migrate(t, dsn)
	p := join(t, dsn, pgx.QueryExecModeCacheStatement)
	l, err := p.client.Acquire(ctx, "n")
	require.NoError(t, err)
	enlist, err := os.ReadFile("sql/enlist.sql")
	require.NoError(t, err)
	var session, epoch int64
	require.NoError(t, p.pool.QueryRow(ctx, "UPDATE sqllock_sessions SET epoch = epoch + 1 RETURNING id, epoch").Scan(&session, &epoch))
	for sent, want := range map[int64]int{epoch - 1: 0, epoch: 1} {
		_, err = p.pool.Exec(ctx, string(enlist), "", []string{"n"}, session, sent, []string{"x"}, []int32{0})
		require.NoError(t, err)
		var waiters int
		require.NoError(t, p.pool.QueryRow(ctx, "WITH d AS (DELETE FROM sqllock_waiters RETURNING id) SELECT count(*) FROM d").Scan(&waiters))
		assert.Equal(t, want, waiters, "sent with epoch %d of %d", sent, epoch)
	}
	require.NoError(t, l.Release(ctx))
}

// TestLateReconcileGivesUpNothing runs the statements of a session that has been granted more since they were sent.
func TestLateReconcileGivesUpNothing(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	dsn := testdb.Postgres(t)
	migrate(t, dsn)
	p := join(t, dsn, pgx.QueryExecModeCacheStatement)
	l, err := p.client.Acquire(ctx, "n")
	require.NoError(t, err)
	var session, epoch int64
	require.NoError(t, p.pool.QueryRow(ctx, "UPDATE sqllock_sessions SET epoch = epoch + 7 RETURNING id, epoch").Scan(&session, &epoch))
	enlist, err := os.ReadFile("sql/enlist.sql")
	require.NoError(t, err)
	_, err = p.pool.Exec(ctx, string(enlist), "", []string{"n"}, session, epoch, []string{"x"}, []int32{0})
	require.NoError(t, err)
	for raised, want := range map[int64]int64{epoch - 1: 0, epoch: 1} {
		for statement, args := range map[string][]any{
			"reconcile": {session, []int64{}, []int64{}, raised}, "reconcile_lines": {session, raised},
		} {
			query, err := os.ReadFile("sql/" + statement + ".sql")
			require.NoError(t, err)
			tx, err := p.pool.Begin(ctx)
			require.NoError(t, err)
			found, err := tx.Exec(ctx, string(query), args...)
			require.NoError(t, err)
			assert.Equal(t, want, found.RowsAffected(), "%s with epoch %d of %d", statement, raised, epoch)
			require.NoError(t, tx.Rollback(ctx))
		}
	}
	require.NoError(t, l.Release(ctx))
}

// TestReleaseUndoneByACrashIsRepeated has the server crash between a release, which does not wait for the disk, and its being
// written. The session lives on by another lock, and nothing but the broken connection tells it.
func TestReleaseUndoneByACrashIsRepeated(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	server := testdb.StartPostgres(t, "wal_writer_delay=10s")
	migrate(t, server.DSN())
	for name, opts := range map[string][]postgres.Option{"Listening": nil, "Polling": {postgres.NoListen()}} {
		p := join(t, server.DSN(), pgx.QueryExecModeCacheStatement, append(opts, postgres.Namespace(name))...)
		kept, err := p.client.Acquire(ctx, "kept")
		require.NoError(t, err)
		lost, err := p.client.Acquire(ctx, "lost")
		require.NoError(t, err)
		if name == "Listening" {
			require.Eventually(t, func() bool {
				var n int
				err := p.pool.QueryRow(ctx, "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%SELECT id, epoch FROM%' AND pid <> pg_backend_pid()").Scan(&n)
				return err == nil && n == 1
			}, 10*time.Second, time.Millisecond, "it listens, which is why the release need not wait for the disk")
		}
		require.NoError(t, lost.Release(ctx))
		server.Kill()
		server.Start()

		other := join(t, server.DSN(), pgx.QueryExecModeCacheStatement, postgres.Namespace(name))
		l, err := other.client.Acquire(ctx, "lost", sqllock.Wait(sqllock.DefaultTTL))
		require.NoError(t, err, name)
		require.NoError(t, l.Release(ctx))
		require.NoError(t, kept.Release(ctx), name)
	}
}

// TestReleaseBeforeAnythingListensOutlivesACrash keeps a Client from listening until the server has crashed: then no connection that breaks tells it what
// was undone.
func TestReleaseBeforeAnythingListensOutlivesACrash(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	server := testdb.StartPostgres(t, "wal_writer_delay=10s")
	migrate(t, server.DSN())
	cfg, err := pgxpool.ParseConfig(server.DSN())
	require.NoError(t, err)
	cfg.MaxConns = 1
	var dialed atomic.Int32
	crashed := make(chan struct{})
	cfg.ConnConfig.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
		if dialed.Add(1) > 2 { // the application's, and that of our statements
			select {
			case <-crashed:
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}
		return new(net.Dialer).DialContext(ctx, network, addr)
	}
	p := joinWith(t, cfg)
	require.NoError(t, p.pool.Ping(ctx))
	kept, err := p.client.Acquire(ctx, "kept")
	require.NoError(t, err)
	l, err := p.client.Acquire(ctx, "n")
	require.NoError(t, err)
	require.NoError(t, l.Release(ctx))
	server.Kill()
	server.Start()
	close(crashed)

	other := join(t, server.DSN(), pgx.QueryExecModeCacheStatement)
	l, err = other.client.Acquire(ctx, "n", sqllock.Wait(sqllock.DefaultTTL/2))
	require.NoError(t, err)
	require.NoError(t, l.Release(ctx))
	require.NoError(t, kept.Release(ctx))
}

// TestRenewalsDoNotWaitForCancelRequests takes the pool of an application that has pgx ask the server to cancel, which is slow and of no use
// to a connection that only listens.
func TestRenewalsDoNotWaitForCancelRequests(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	dsn := testdb.Postgres(t)
	migrate(t, dsn)
	cfg, err := pgxpool.ParseConfig(dsn)
	require.NoError(t, err)
	cfg.ConnConfig.BuildContextWatcherHandler = func(pg *pgconn.PgConn) ctxwatch.Handler {
		return &pgconn.CancelRequestContextWatcherHandler{Conn: pg, CancelRequestDelay: time.Minute, DeadlineDelay: time.Minute}
	}
	p := joinWith(t, cfg)
	l, err := p.client.Acquire(ctx, "n", sqllock.TTL(time.Second))
	require.NoError(t, err)
	select {
	case <-l.Done():
		t.Error(l.Err())
	case <-time.After(3 * time.Second):
	}
	require.NoError(t, l.Release(context.WithoutCancel(ctx)))
}

// TestClosingCancelsNothing closes Clients whose connection has just begun to listen. A statement that is given up costs its connection and a cancel request.
func TestClosingCancelsNothing(t *testing.T) {
	t.Parallel()
	dsn := testdb.Postgres(t)
	migrate(t, dsn)
	cfg, err := pgxpool.ParseConfig(dsn)
	require.NoError(t, err)
	var requests atomic.Int32
	cfg.ConnConfig.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := new(net.Dialer).DialContext(ctx, network, addr)
		return &requester{Conn: c, cancels: &requests}, err
	}
	p := joinWith(t, cfg)
	for range 50 {
		c := sqllock.New(p.table)
		_, err := c.TryAcquire(t.Context(), "n")
		require.NoError(t, err)
		require.NoError(t, c.Close(t.Context()))
	}
	require.Zero(t, requests.Load(), "cancel requests")
}

// requester is a connection that counts cancel requests, which are the first and only message on theirs.
type requester struct {
	net.Conn
	cancels *atomic.Int32
}

func (r *requester) Write(b []byte) (int, error) {
	const length, code = 16, 80877102 // of a CancelRequest, as the manual has them (Message Formats)
	if len(b) == length && binary.BigEndian.Uint32(b) == length && binary.BigEndian.Uint32(b[4:]) == code {
		r.cancels.Add(1)
	}
	return r.Conn.Write(b)
}

// TestRenewalsEndASubscriptionThatIsNotAnswered has the connection that renews and listens fall silent as it begins to listen.
func TestRenewalsEndASubscriptionThatIsNotAnswered(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	dsn := testdb.Postgres(t)
	migrate(t, dsn)
	cfg, err := pgxpool.ParseConfig(dsn)
	require.NoError(t, err)
	var muted atomic.Bool
	cfg.ConnConfig.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := new(net.Dialer).DialContext(ctx, network, addr)
		return &listenersConn{Conn: c, muted: &muted}, err
	}
	p := joinWith(t, cfg)
	const ttl = 3 * time.Second
	l, err := p.client.Acquire(ctx, "n", sqllock.TTL(ttl))
	require.NoError(t, err)
	granted := l.Deadline()
	require.Eventually(t, func() bool { return l.Err() != nil || l.Deadline().After(granted.Add(ttl/6)) }, 2*ttl, time.Millisecond, "renewed or lost")
	require.True(t, muted.Load(), "it has begun to listen")
	require.NoError(t, l.Verify(ctx))
	require.NoError(t, l.Release(ctx))
}

// listenersConn forwards nothing once somebody begins to listen on it, if it is the first.
type listenersConn struct {
	net.Conn
	muted *atomic.Bool // by one of them
	mute  bool
}

func (c *listenersConn) Write(b []byte) (int, error) {
	c.mute = c.mute || bytes.Contains(b, []byte("unlisten")) && c.muted.CompareAndSwap(false, true)
	if c.mute {
		return len(b), nil
	}
	return c.Conn.Write(b)
}

// TestRoleDefaultsDoNotMatter connects as roles whose defaults would break the statements if they took them as they come.
func TestRoleDefaultsDoNotMatter(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	dsn := testdb.Postgres(t)
	migrate(t, dsn)
	cfg, err := pgxpool.ParseConfig(dsn)
	require.NoError(t, err)
	for name, value := range map[string]string{
		"default_transaction_isolation": "serializable",
		"default_transaction_read_only": "on",
		"lock_timeout":                  "1",
		"synchronous_commit":            "off",
		"search_path":                   "pg_temp, nowhere",
	} {
		cfg.ConnConfig.RuntimeParams[name] = value
	}
	p := joinWith(t, cfg)
	l, err := p.client.Acquire(ctx, "n")
	require.NoError(t, err)
	require.NoError(t, l.Publish(ctx, map[string]string{"at": "here"}))
	require.NoError(t, p.client.ForceRelease(ctx, "n"))
	require.NoError(t, p.table.WithTx(ctx, "n", func(pgx.Tx) error { return nil }))
	opts := pgx.TxOptions{IsoLevel: pgx.ReadCommitted, AccessMode: pgx.ReadWrite}
	require.NoError(t, pgx.BeginTxFunc(ctx, p.pool, opts, func(tx pgx.Tx) error {
		if err := p.table.LockTx(ctx, tx, "never seen before"); err != nil {
			return err
		}
		var timeout string
		if err := tx.QueryRow(ctx, "SHOW lock_timeout").Scan(&timeout); err != nil {
			return err
		}
		assert.Equal(t, "1ms", timeout)
		return nil
	}))
	_, err = p.table.Purge(ctx, 0)
	require.NoError(t, err)
}
