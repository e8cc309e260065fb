package mysql_test

import (
	"database/sql"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sqllock/toolkit/internal/testdb"
	"github.com/sqllock/toolkit/mysql"
	"github.com/sqllock/toolkit/sqllock"
)

// TestEvictionKeepsWhatTheSameAttemptGot asks at once for a name that is free and one whose holder is dead, which takes more
// transactions. The first name must not be found held by ourselves then: nobody would ever release it.
func TestEvictionKeepsWhatTheSameAttemptGot(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	p := lease(t, tables(t))
	p.dead(t, "of the dead", "x")

	set, err := p.client.AcquireAll(ctx, []string{"free", "of the dead"}, sqllock.Wait(10*time.Second))
	require.NoError(t, err)
	require.NoError(t, set.Release(ctx))
	locks, err := p.client.Locks(ctx)
	require.NoError(t, err)
	assert.Empty(t, locks)
}

// TestReaderThatIsNotTheLatestKeepsWritersOut has the latest of several readers go: an attempt must not look for the latest only. One name and many take
// different statements.
func TestReaderThatIsNotTheLatestKeepsWritersOut(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	cfg := tables(t)
	a, b := lease(t, cfg), lease(t, cfg)
	for round, names := range [][]string{{"one"}, {"many", "of them"}} {
		read := func(p leaseholder) *sqllock.Set {
			set, err := p.client.AcquireAll(ctx, names, sqllock.Shared(), sqllock.Wait(10*time.Second))
			require.NoError(t, err)
			return set
		}
		first, latest := read(a), read(b)
		require.NoError(t, latest.Release(ctx))
		for _, name := range names {
			_, err := b.client.TryAcquire(ctx, name)
			require.ErrorIs(t, err, sqllock.ErrNotAcquired, "round %d", round)
		}
		_, err := b.client.AcquireAll(ctx, append(names, "free"), sqllock.Wait(0))
		require.ErrorIs(t, err, sqllock.ErrNotAcquired, "round %d", round)
		require.NoError(t, first.Release(ctx))
		set, err := b.client.AcquireAll(ctx, names, sqllock.Wait(10*time.Second))
		require.NoError(t, err)
		require.NoError(t, set.Release(ctx))
	}
}

// TestGuardedHolderIsNeitherEvictedNorWaitedFor has a transaction lock the rows of one dead holder, as a guard does. What is asked for beside
// it must be had at once, and the dead one next to it evicted.
func TestGuardedHolderIsNeitherEvictedNorWaitedFor(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	cfg := tables(t)
	p := lease(t, cfg)
	p.dead(t, "guarded", "s")
	p.dead(t, "dead", "s")
	guard := p.begin(t, sql.LevelDefault)
	resource := p.int(t, "SELECT id FROM sqllock_resources WHERE name = 'guarded'")
	token := int64(p.int(t, "SELECT token FROM sqllock_holders WHERE resource = ?", resource))
	_, err := guard.ExecContext(ctx, "SELECT token FROM sqllock_holders WHERE resource = ? AND token = ? LOCK IN SHARE MODE", resource, token)
	require.NoError(t, err)

	_, err = p.client.TryAcquire(ctx, "guarded")
	require.ErrorIs(t, err, sqllock.ErrNotAcquired)
	for _, name := range []string{"dead", "another"} {
		l, err := p.client.TryAcquire(ctx, name)
		require.NoError(t, err, name)
		require.NoError(t, l.Release(ctx))
	}
	require.Equal(t, 1, p.int(t, "SELECT COUNT(*) FROM sqllock_holders"))

	require.NoError(t, guard.Commit())
	l, err := p.client.Acquire(ctx, "guarded", sqllock.Wait(10*time.Second))
	require.NoError(t, err)
	assert.Greater(t, l.Token(), token)
	require.NoError(t, l.Release(ctx))
}

// TestRenewalPassesAnAttemptUnderWay holds what an attempt holds. A renewal that waited for it would be late when the server is slow.
func TestRenewalPassesAnAttemptUnderWay(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	p := lease(t, tables(t))
	l, err := p.client.Acquire(ctx, "n", sqllock.TTL(3*time.Second))
	require.NoError(t, err)
	attempt := p.begin(t, sql.LevelReadCommitted)
	session := p.int(t, "SELECT session FROM sqllock_holders")
	_, err = attempt.ExecContext(ctx, statementOf(t, "join"), session, 0)
	require.NoError(t, err)
	var locked sql.NullInt64
	require.NoError(t, attempt.QueryRowContext(ctx, "SELECT @session").Scan(&locked))
	require.EqualValues(t, session, locked.Int64)

	select {
	case <-l.Done():
		t.Error(l.Err())
	case <-time.After(4 * time.Second):
	}
	blocked, err := p.db.Conn(ctx)
	require.NoError(t, err)
	defer blocked.Close()
	_, err = blocked.ExecContext(ctx, "SET innodb_lock_wait_timeout = 1")
	require.NoError(t, err)
	_, err = blocked.ExecContext(ctx, statementOf(t, "raise_epoch"), session)
	require.ErrorContains(t, err, "1205", "who reconciles waits for the attempt")
	require.NoError(t, attempt.Rollback())
	require.NoError(t, l.Release(ctx))
}

// statementOf is a file of the folder sql, for the database of the connection.
func statementOf(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile("sql/" + name + ".sql")
	require.NoError(t, err)
	return strings.ReplaceAll(string(text), "app.", "")[strings.LastIndex(string(text), "\n-- ?")+1:]
}

// TestLateEnlistingAddsNothing runs the statements of a session that has reconciled since they were sent. A waiter that its process
// does not know would stand in everybody's way.
func TestLateEnlistingAddsNothing(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	p := lease(t, tables(t))
	l, err := p.client.Acquire(ctx, "n") // so that the name is there
	require.NoError(t, err)
	require.NoError(t, l.Release(ctx))
	const session = 7 // of no process: one that found its epoch changed would reconcile
	p.exec(t, `INSERT INTO sqllock_sessions (id, owner, epoch, opened_at, expires_at)
		VALUES (?, 'late', 7, UTC_TIMESTAMP(6), UTC_TIMESTAMP(6) + INTERVAL 1 HOUR)`, session)
	conn, err := p.db.Conn(ctx)
	require.NoError(t, err)
	defer conn.Close()
	for epoch, want := range map[int]int{6: 0, 7: 1} {
		_, err := conn.ExecContext(ctx, `SET @want = '[{"n":0,"name":"6e","mode":"x","permits":0}]'`)
		require.NoError(t, err)
		_, err = conn.ExecContext(ctx, statementOf(t, "join"), session, epoch)
		require.NoError(t, err)
		_, err = conn.ExecContext(ctx, statementOf(t, "enlist"), "")
		require.NoError(t, err)
		assert.Equal(t, want, p.int(t, "SELECT COUNT(*) FROM sqllock_waiters"), "sent with epoch %d of 7", epoch)
		p.exec(t, "DELETE FROM sqllock_waiters")
	}
}

// TestPurgeSparesWhatIsGrantedMeanwhile purges beside grants. The name of a holder must not go: whoever asked for it next would
// hold it too.
func TestPurgeSparesWhatIsGrantedMeanwhile(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	p := lease(t, tables(t))
	end := time.Now().Add(3 * time.Second)
	var all sync.WaitGroup
	for range 2 {
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
				tx, err := p.db.BeginTx(ctx, nil)
				if !assert.NoError(t, err) || !assert.NoError(t, p.table.Guard(ctx, tx, l)) || !assert.NoError(t, tx.Commit()) ||
					!assert.NoError(t, l.Release(ctx)) {
					return
				}
			}
		})
	}
	all.Wait()
}

func TestPurgeRemovesNamesOfTheDeadAndKeepsTheirTokens(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	p := lease(t, tables(t))
	p.dead(t, "n", "x")
	before := p.int(t, "SELECT token FROM sqllock_resources")
	n, err := p.table.Purge(ctx, 0)
	require.NoError(t, err)
	assert.EqualValues(t, 1, n)
	assert.Zero(t, p.int(t, "SELECT COUNT(*) FROM sqllock_holders"))
	l, err := p.client.Acquire(ctx, "n")
	require.NoError(t, err)
	assert.Greater(t, l.Token(), int64(before))
	require.NoError(t, l.Release(ctx))
}

// TestServerDefaultsDoNotMatter has a server whose defaults would break the statements if they took them as they come, and a DSN that
// does the same.
func TestServerDefaultsDoNotMatter(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	server := testdb.StartMySQL(t)
	cfg := server.Config()
	migrate(t, cfg)
	admin := connect(t, cfg)
	for _, set := range []string{
		"GLOBAL TRANSACTION ISOLATION LEVEL SERIALIZABLE",
		"GLOBAL autocommit = 0", "GLOBAL completion_type = 1", "GLOBAL time_zone = '+13:00'", "GLOBAL innodb_lock_wait_timeout = 50",
		"GLOBAL sql_mode = 'ANSI_QUOTES,NO_BACKSLASH_ESCAPES,ONLY_FULL_GROUP_BY,PIPES_AS_CONCAT'",
		"GLOBAL sql_safe_updates = 1", "GLOBAL sql_select_limit = 1", "GLOBAL group_concat_max_len = 4", "GLOBAL max_join_size = 1",
	} {
		_, err := admin.ExecContext(ctx, "SET "+set)
		require.NoError(t, err, set)
	}
	cfg.Params = map[string]string{"sql_mode": "''", "sql_select_limit": "1"}
	cfg.ReadTimeout, cfg.ParseTime, cfg.ColumnsWithAlias, cfg.RejectReadOnly = 100*time.Millisecond, true, true, true
	original := *cfg
	locks := sqllock.New(mysql.Table(cfg, mysql.Namespace(`a \' "namespace"`)), sqllock.Metadata(map[string]string{"k": `\' "`}))
	defer func() { require.NoError(t, locks.Close(ctx)) }()
	set, err := locks.AcquireAll(ctx, []string{`a \`, `b '`, `c "`, "d ?"})
	require.NoError(t, err)
	infos, err := locks.Locks(ctx)
	require.NoError(t, err)
	require.Len(t, infos, 4)
	for _, i := range infos {
		assert.Equal(t, map[string]string{"k": `\' "`}, i.Metadata)
		assert.WithinDuration(t, time.Now(), i.Since, time.Minute)
		assert.WithinDuration(t, time.Now().Add(sqllock.DefaultTTL), i.Expires, time.Minute)
	}
	require.NoError(t, locks.ForceRelease(ctx, `a \`))
	require.ErrorIs(t, set.Release(ctx), sqllock.ErrLost)
	assert.Equal(t, original, *cfg, "the application's configuration is its own")
}

// TestCrashOfTheServerKeepsLeases kills the server under a holder and a waiter.
func TestCrashOfTheServerKeepsLeases(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	server := testdb.StartMySQL(t, "innodb-flush-log-at-trx-commit=1")
	migrate(t, server.Config())
	p, other := lease(t, server.Config()), lease(t, server.Config())
	l, err := p.client.Acquire(ctx, "n")
	require.NoError(t, err)
	got := make(chan error, 1)
	go func() {
		next, err := other.client.Acquire(ctx, "n")
		if err == nil {
			assert.Greater(t, next.Token(), l.Token())
			err = next.Release(ctx)
		}
		got <- err
	}()
	require.Eventually(t, func() bool { return p.int(t, "SELECT COUNT(*) FROM sqllock_waiters") == 1 }, 10*time.Second, time.Millisecond)
	server.Kill()
	server.Start()
	require.NoError(t, l.Verify(ctx))
	require.NoError(t, l.Release(ctx))
	require.NoError(t, awaitErr(t, "the waiter goes on", got))
}

// TestAttemptIsMadeAgainAfterALockWaitThatTookTooLong keeps the row of the session locked for longer than one attempt waits (1205).
func TestAttemptIsMadeAgainAfterALockWaitThatTookTooLong(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	server := testdb.StartMySQL(t) // whose counters are for this test alone
	cfg := server.Config()
	migrate(t, cfg)
	p := lease(t, cfg)
	first, err := p.client.Acquire(ctx, "first") // so that there is a session
	require.NoError(t, err)

	waits := func() (n int64) {
		require.NoError(t, p.db.QueryRowContext(ctx, "SHOW GLOBAL STATUS LIKE 'Innodb_row_lock_waits'").Scan(new(string), &n))
		return n
	}
	blocker := p.begin(t, sql.LevelReadCommitted)
	_, err = blocker.ExecContext(ctx, "SELECT id FROM sqllock_sessions FORCE INDEX (by_epoch) FOR UPDATE")
	require.NoError(t, err)
	before := waits()
	granted := make(chan error, 1)
	go func() {
		l, err := p.client.Acquire(ctx, "second", sqllock.Wait(time.Minute))
		if err == nil {
			err = l.Release(ctx)
		}
		granted <- err
	}()
	for deadline := time.Now().Add(30 * time.Second); waits() < before+2; time.Sleep(5 * time.Millisecond) { // between two looks
		require.True(t, time.Now().Before(deadline), "it is not tried again")
	}
	require.NoError(t, blocker.Rollback())
	require.NoError(t, <-granted)
	require.NoError(t, first.Release(ctx))
}
