package mysql_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sqllock/toolkit/internal/testdb"
	"github.com/sqllock/toolkit/mysql"
	"github.com/sqllock/toolkit/sqllock"
)

// hang pauses a server, and returns when the last of its threads has stopped, which c is not answered by any more.
func (s *namedScene) hang(server *testdb.MySQLServer, c *sqllock.Client) {
	s.Helper()
	require.NoError(s, c.Ping(s.Context()))
	server.Pause()
	s.Cleanup(server.Resume)
	s.eventually(func() bool {
		short, cancel := context.WithTimeout(s.Context(), 20*time.Millisecond)
		defer cancel()
		return c.Ping(short) != nil
	}, "the server hangs")
}

// TestNamedHungServerKeepsNobodyWaiting longer than they have said. Holders give up, and when it goes on all is well.
func TestNamedHungServerKeepsNobodyWaiting(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	server := testdb.StartMySQL(t)
	s := namedSceneAt(t, server.Config())
	c, patient := s.client(mysql.SessionTimeout(3*time.Second)), s.client(mysql.SessionTimeout(time.Hour))
	held, kept := s.acquire(c, "n"), s.acquire(patient, "m")
	got := s.waits(c, "m")
	s.hang(server, patient)
	for _, bounded := range []func(context.Context) error{
		func(ctx context.Context) error { _, err := patient.TryAcquire(ctx, "free"); return err },
		func(ctx context.Context) error { _, err := patient.Acquire(ctx, "free"); return err },
		func(ctx context.Context) error { return patient.Ping(ctx) },
		func(ctx context.Context) error { return kept.Verify(ctx) },
		func(ctx context.Context) error { return patient.ForceRelease(ctx, "another") },
		func(ctx context.Context) error { _, err := patient.Locks(ctx); return err },
	} {
		short, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
		ended := make(chan error, 1)
		go func() { ended <- bounded(short) }()
		select {
		case err := <-ended:
			assert.Error(t, err)
		case <-time.After(namedSlack):
			t.Error("it waits on after its context has ended")
		}
		cancel()
	}
	s.ends(held)
	require.ErrorIs(t, held.Err(), sqllock.ErrLost)
	require.NoError(t, kept.Err(), "an hour has not passed")
	released := make(chan error, 1)
	go func() { released <- kept.Release(ctx) }()
	select {
	case err := <-released:
		assert.Error(t, err)
	case <-time.After(5*time.Second + namedSlack):
		t.Error("Release waits for more than five seconds")
	}
	server.Resume()
	s.release(s.granted(got, 4*time.Second), s.acquire(c, "n"))
}

// TestNamedCloseIsBounded where the server hangs: it answers neither those who wait nor those who release.
func TestNamedCloseIsBounded(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	server := testdb.StartMySQL(t)
	s := namedSceneAt(t, server.Config())
	c, other := sqllock.New(s.backend(mysql.SessionTimeout(time.Hour))), s.client()
	held := s.acquire(c, "n")
	s.acquire(other, "m")
	got := s.waits(c, "m")
	s.hang(server, other)
	closed := make(chan error, 1)
	go func() { closed <- c.Close(ctx) }()
	g := <-got
	require.ErrorIs(t, g.err, sqllock.ErrClosed)
	select {
	case err := <-closed:
		assert.Error(t, err)
	case <-time.After(10*time.Second + namedSlack):
		t.Fatal("Close waits for the server")
	}
	require.ErrorIs(t, held.Err(), sqllock.ErrClosed)
	server.Resume()
	s.free("n")
	s.release(s.acquire(other, "n"))
}

// TestNamedCloseWhileConnecting ends what waits for a connection.
func TestNamedCloseWhileConnecting(t *testing.T) {
	t.Parallel()
	server := testdb.StartMySQL(t)
	s := namedSceneAt(t, server.Config())
	c := sqllock.New(s.backend())
	s.hang(server, s.client())
	got := s.begins(c, "n")
	closed := make(chan struct{})
	go func() {
		_ = c.Close(t.Context()) // nothing was held, so it may be nil
		close(closed)
	}()
	select {
	case <-closed:
	case <-time.After(10*time.Second + namedSlack):
		t.Fatal("Close waits for the server")
	}
	select {
	case g := <-got:
		require.Error(t, g.err)
	case <-time.After(namedSlack):
		t.Fatal("who waits is not told")
	}
}
