package mysql_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sqllock/toolkit/internal/testdb"
	"github.com/sqllock/toolkit/mysql"
	"github.com/sqllock/toolkit/sqllock"
)

// TestNamedFullServer has no connection left to wait on: names are polled, and acquired nevertheless. A Client that cannot connect at all says
// what to do about it.
func TestNamedFullServer(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	// MariaDB takes no fewer than ten, and keeps one more for administrators, as we are.
	s := namedSceneAt(t, testdb.StartMySQL(t, "max-connections=10").Config())
	s.exec("CREATE USER app IDENTIFIED BY ''")
	s.exec("GRANT ALL ON test.* TO app")
	admin := s.cfg
	s.cfg = admin.Clone()
	s.cfg.User = "app"
	holder, waiter, late := s.client(), s.client(mysql.Poll(10*time.Millisecond)), s.client()
	held := []*sqllock.Lock{s.acquire(holder, "a"), s.acquire(holder, "b"), s.acquire(waiter, "c")}
	hog := connect(t, s.cfg)
	hog.SetMaxIdleConns(20)
	for {
		conn, err := hog.Conn(ctx)
		if err != nil {
			require.ErrorContains(t, err, "onnections")
			break
		}
		t.Cleanup(func() { _ = conn.Close() })
	}
	_, err := late.TryAcquire(ctx, "free")
	unknownHolder(t, err, "TryAcquire")
	assert.ErrorContains(t, err, "max_connections")
	_, err = late.Acquire(ctx, "free")
	unknownHolder(t, err, "Acquire")
	assert.ErrorContains(t, late.Ping(ctx), "max_connections")

	got := []<-chan namedGrant{s.begins(waiter, "a"), s.begins(waiter, "b")}
	s.refused(waiter, "a")
	_, err = waiter.Acquire(ctx, "b", sqllock.Wait(100*time.Millisecond))
	require.ErrorIs(t, err, sqllock.ErrNotAcquired, "somebody does hold it")
	s.release(held...)
	for _, g := range got {
		l := s.granted(g, 0)
		require.NoError(t, l.Verify(ctx))
		s.release(l)
	}
	s.free("a", "b", "c")
}
