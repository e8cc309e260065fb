package postgres_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sqllock/toolkit/internal/testdb"
	"github.com/sqllock/toolkit/postgres"
	"github.com/sqllock/toolkit/sqllock"
)

// limitFiles has no connection of a server that is opened from now on write a file larger than this, as if the disk ended there.
func limitFiles(t *testing.T, server *testdb.PostgresServer, size string) {
	t.Helper()
	pidFile, err := os.ReadFile(filepath.Join(server.Dir(), "postmaster.pid"))
	require.NoError(t, err)
	postmaster, _, _ := strings.Cut(string(pidFile), "\n")
	prlimit := exec.Command("prlimit", "--pid", postmaster, "--fsize="+size+":")
	if os.Geteuid() == 0 { // The server's own user may do it, which not everybody who is root may.
		info, err := os.Stat(server.Dir())
		require.NoError(t, err)
		owner := info.Sys().(*syscall.Stat_t)
		prlimit.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: owner.Uid, Gid: owner.Gid}}
	}
	out, err := prlimit.CombinedOutput()
	require.NoError(t, err, "%s", out)
}

// TestFullDiskEndsNoLease has the table of holders grow to where the disk ends. Nobody is granted anything new, and is told why; what is held is renewed,
// guarded and released, because that rewrites rows in place.
func TestFullDiskEndsNoLease(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	server := testdb.StartPostgres(t, "autovacuum=off")
	migrate(t, server.DSN())
	limitFiles(t, server, "16777216") // as large as a segment of the write-ahead log
	s := sceneAt(t, server.DSN())
	table := postgres.Table(s.pool)
	c := sqllock.New(table, soon(table)...)
	t.Cleanup(func() { assert.NoError(t, c.Close(context.Background())) })
	held := s.acquire(c, "held")
	before := held.Deadline()

	for _, row := range []string{"to_jsonb(repeat('x', 1500))", "NULL"} { // in small transactions: what one that fails has written is room for others
		_, err := s.session().Exec(ctx, `DO $$ BEGIN
			LOOP
				INSERT INTO sqllock_holders (resource, token, mode, permits, metadata, acquired_at)
				SELECT coalesce(min(resource), 0) - 1, 0, 'x', 0, `+row+`, now() FROM sqllock_holders WHERE resource < 0;
				COMMIT;
			END LOOP;
		END $$`)
		require.ErrorContains(t, err, "could not extend file")
	}
	for n := 0; ; n++ { // there is a little room left
		require.Less(t, n, 1000, "the disk is full")
		if _, err := c.TryAcquire(ctx, fmt.Sprint("n", n)); err != nil {
			unknown(t, err, "TryAcquire")
			require.ErrorContains(t, err, "could not extend file")
			break
		}
	}
	require.NoError(t, held.Verify(ctx))
	require.NoError(t, pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error { return table.Guard(ctx, tx, held) }))
	require.Eventually(t, func() bool { return held.Deadline().After(before.Add(time.Second)) }, sqllock.DefaultTTL, time.Millisecond, "it is renewed")
	require.NoError(t, held.Release(ctx))

	limitFiles(t, server, "unlimited")
	sever(t, server.DSN())
	require.NoError(t, again(t, func() error {
		l, err := c.TryAcquire(ctx, "held")
		if err == nil {
			s.release(l)
		}
		return err
	}))
}
