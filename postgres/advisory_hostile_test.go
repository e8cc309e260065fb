package postgres_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sqllock/toolkit/postgres"
	"github.com/sqllock/toolkit/sqllock"
)

// TestAdvisoryNotificationsOfStrangersChangeNothing: anybody who may connect may NOTIFY our channel. Those who hold go on holding, those
// who wait go on waiting, and who looks in vain because somebody says so is there when the lock is really free.
func TestAdvisoryNotificationsOfStrangersChangeNothing(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	ctx := t.Context()
	key := postgres.Advisory(s.pool).Key("n")
	holder, follower := s.client(), s.client(postgres.Poll(time.Minute))
	held := []*sqllock.Lock{s.acquire(holder, "n"), s.acquire(holder, "s", sqllock.Shared()), s.acquire(holder, "p", sqllock.Permits(2))}
	next := s.waits(follower, "n")
	for _, message := range []string{
		"", "x", "s", "f", "d", "that is all", "x" + key, "s" + key, "x" + key + " x", "q" + key, "f" + key + "x id", "f +" + key + " id", "F" + key + " id",
		"f+" + key + " id", "f0" + key + " id", "f99999999999999999999 id", "f" + key + " " + strings.Repeat("i", 7900), "did 4711", strings.Repeat("x", 7999), "f1 id",
		"f" + key[:len(key)-1] + " id", "é\x01",
	} {
		for range 3 {
			s.exec("SELECT pg_notify('sqllock', $1)", message)
		}
		for _, l := range held {
			require.NoError(t, l.Verify(ctx), "%.50q", message)
		}
	}
	select {
	case g := <-next:
		t.Fatal("granted beside the holder", g.err)
	default:
	}
	s.release(held...)
	s.release(s.granted(next, 0))

	// A stranger's answer does not confirm what its holder has not done.
	stranger := s.session()
	_, err := stranger.Exec(ctx, "SELECT pg_advisory_lock($1::text::bigint)", key)
	require.NoError(t, err)
	short, cancel := context.WithTimeoutCause(ctx, 300*time.Millisecond, errors.New("enough"))
	defer cancel()
	asked := make(chan error, 1)
	go func() { asked <- holder.ForceRelease(short, "n") }()
	for _, message := range []string{"d", "d 1", "did 1"} {
		s.exec("SELECT pg_notify('sqllock', $1)", message)
	}
	require.ErrorIs(t, <-asked, sqllock.ErrNotConfirmed)
	_, err = stranger.Exec(ctx, "SELECT pg_advisory_unlock_all()")
	require.NoError(t, err)
	s.onlySessionsLeft()
}
