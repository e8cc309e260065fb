package mysql_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	driver "github.com/go-sql-driver/mysql"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sqllock/toolkit/internal/testdb"
	"github.com/sqllock/toolkit/mysql"
	"github.com/sqllock/toolkit/sqllock"
)

// shiftedClock goes on by itself, and by what it is told. Its timers do not see that, as those of a machine that was suspended.
type shiftedClock struct{ by atomic.Int64 }

func (c *shiftedClock) shift(d time.Duration) { c.by.Add(int64(d)) }

func (c *shiftedClock) Now() time.Duration {
	return sqllock.SystemClock.Now() + time.Duration(c.by.Load())
}

func (c *shiftedClock) AfterFunc(d time.Duration, f func()) sqllock.Timer {
	return sqllock.SystemClock.AfterFunc(d, f)
}

// The session timeout of a Client that is far away is such that nothing happens by itself while a test runs. It gives up after 32 minutes.
const longTimeout = time.Hour

func (s *namedScene) farAway(opts ...mysql.Option) (*sqllock.Client, *testdb.Latency, *shiftedClock) {
	s.Helper()
	slow, clock := testdb.NewLatency(), new(shiftedClock)
	b := s.configured(func(cfg *driver.Config) { cfg.DialFunc = slow.Dial }, append(opts, mysql.SessionTimeout(longTimeout))...)
	c := sqllock.New(b, sqllock.WithClock(clock))
	s.Cleanup(func() {
		slow.End()
		assert.NoError(s, c.Close(context.Background()))
	})
	return c, slow, clock
}

// answers returns when the server has answered what f asks, and that has not arrived.
func (s *namedScene) answers(slow *testdb.Latency, f func() error) <-chan error {
	s.Helper()
	slow.Hold()
	got := make(chan error, 1)
	go func() { got <- f() }()
	s.eventually(slow.Answered, "the server has answered")
	return got
}

// What the server counts begins when it hears of us, so what we count begins before that.
func TestNamedSilenceIsCountedFromTheSendingOfWhatWasAnswered(t *testing.T) {
	t.Parallel()
	s := newNamedScene(t)
	c, slow, clock := s.farAway()
	l := s.acquire(c, "n")
	clock.shift(20 * time.Minute)
	verified := s.answers(slow, func() error { return l.Verify(s.Context()) })
	clock.shift(10 * time.Minute)
	slow.End()
	require.NoError(t, <-verified)
	clock.shift(20 * time.Minute)
	require.NoError(t, l.Err(), "30 minutes after it was sent")
	clock.shift(5 * time.Minute)
	assert.ErrorIs(t, l.Err(), sqllock.ErrLost, "35 minutes after it was sent, though 25 after it was answered")
}

// An answer that has lain unread tells nothing about now: the session may have ended, and the lock may be another's.
func TestNamedAnswerThatHasLainUnreadGrantsNothing(t *testing.T) {
	t.Parallel()
	s := newNamedScene(t)
	c, slow, clock := s.farAway()
	held := s.acquire(c, "held")
	tried := s.answers(slow, func() error {
		_, err := c.TryAcquire(s.Context(), "n")
		return err
	})
	clock.shift(33 * time.Minute)
	slow.End()
	err := <-tried
	require.Error(t, err)
	assert.NotErrorIs(t, err, sqllock.ErrNotAcquired)
	assert.ErrorIs(t, held.Err(), sqllock.ErrLost)
	s.free("n", "held")
}

// Closing the connection may free what it held at once.
func TestNamedHoldersAreToldBeforeTheirConnectionIsClosed(t *testing.T) {
	t.Parallel()
	s := newNamedScene(t)
	c, slow, clock := s.farAway()
	l := s.acquire(c, "n")
	ended := make(chan bool, 10)
	slow.OnClose(func() {
		select {
		case <-l.Done():
			ended <- true
		default:
			ended <- false
		}
	})
	verified := s.answers(slow, func() error { return l.Verify(s.Context()) })
	clock.shift(33 * time.Minute)
	slow.End()
	assert.True(t, <-ended, "Done is closed, and then the connection")
	assert.Error(t, <-verified)
	slow.OnClose(func() {})
}

// A guard that is granted may commit, so it must not go by what the holder believes.
func TestNamedGuardFailsThoughTheHolderDoesNotKnowThatItsSessionHasEnded(t *testing.T) {
	t.Parallel()
	s := newNamedScene(t)
	c, slow, _ := s.farAway(mysql.WithTokens())
	l := s.acquire(c, "n")
	slow.Hold()
	s.terminate(s.holder("n"))
	s.free("n")
	require.NoError(t, l.Err(), "it does not know")
	assert.ErrorIs(t, s.guarded(s.backend(mysql.WithTokens()), l), sqllock.ErrLost, "though nobody has raised the token yet")
	slow.End()
}

// A lock whose caller has left before the answer came is nobody's.
func TestNamedGrantWhoseCallerHasLeftIsGivenBack(t *testing.T) {
	t.Parallel()
	s := newNamedScene(t)
	c, slow, _ := s.farAway()
	s.acquire(c, "held")
	ctx, cancel := context.WithCancel(t.Context())
	tried := s.answers(slow, func() error {
		_, err := c.TryAcquire(ctx, "n")
		return err
	})
	cancel()
	require.ErrorIs(t, <-tried, context.Canceled)
	slow.End()
	s.free("n")
}

// A release that was not confirmed may not have happened before the session ended, and the lock may have been another's since.
func TestNamedReleaseWhoseAnswerIsLostIsNoSuccess(t *testing.T) {
	t.Parallel()
	s := newNamedScene(t)
	c, slow, clock := s.farAway()
	l := s.acquire(c, "n")
	released := s.answers(slow, func() error { return l.Release(s.Context()) })
	clock.shift(33 * time.Minute)
	slow.End()
	assert.Error(t, <-released)
	s.free("n")
}
