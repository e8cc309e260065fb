package sqllock

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// watchedBackend shows the moment at which the database is told.
type watchedBackend struct {
	*fakeBackend
	releasing func(ctx context.Context)
	closing   func()
}

func (b *watchedBackend) Open(SessionConfig) (Session, error) { return b, nil }

func (b *watchedBackend) Release(ctx context.Context, holds []Hold, results []error) {
	b.releasing(ctx)
	b.fakeBackend.Release(ctx, holds, results)
}

func (b *watchedBackend) Close(ctx context.Context) error {
	if b.closing != nil {
		b.closing()
	}
	return b.fakeBackend.Close(ctx)
}

func watched(t *testing.T, releasing func(ctx context.Context)) *Client {
	t.Helper()
	c := New(&watchedBackend{fakeBackend: newFakeBackend(), releasing: releasing})
	t.Cleanup(func() { _ = c.Close(context.Background()) })
	return c
}

// From the moment at which the database hears of it somebody else may hold the lock.
func TestLockIsOverBeforeTheDatabaseIsTold(t *testing.T) {
	var ends []error
	var look func() []error
	c := watched(t, func(context.Context) { ends = look() })

	l := acquire(t, c, "n")
	ctx, cancel := l.Context(t.Context())
	defer cancel()
	look = func() []error { return []error{l.Err(), context.Cause(ctx)} }
	require.NoError(t, l.Release(t.Context()))
	require.Len(t, ends, 2)
	for _, end := range ends {
		assert.ErrorIs(t, end, ErrReleased)
	}

	set, err := c.AcquireAll(t.Context(), []string{"n", "m"})
	require.NoError(t, err)
	look = func() []error { return []error{set.locks[0].Err(), set.locks[1].Err()} }
	require.NoError(t, set.Release(t.Context()))
	for _, end := range ends {
		assert.ErrorIs(t, end, ErrReleased, "all of a set, before any is released")
	}

	look = func() []error { return []error{l.Err(), context.Cause(ctx)} }
	require.NoError(t, c.Do(t.Context(), "n", func(held context.Context) error {
		ctx = held
		return nil
	}))
	assert.Error(t, ends[1], "the context that work got ends before the lock is free")
}

// Release is what one defers, and by then the context has often ended.
func TestReleaseReachesTheDatabaseWhateverBecomesOfTheCaller(t *testing.T) {
	var asked []context.Context
	c := watched(t, func(ctx context.Context) {
		asked = append(asked, ctx)
		assert.NoError(t, ctx.Err())
		_, bounded := ctx.Deadline()
		assert.True(t, bounded || ctx.Done() != nil, "but not for ever")
	})
	ctx, cancel := context.WithCancel(t.Context())
	l := acquire(t, c, "n")
	set, err := c.AcquireAll(ctx, []string{"a", "b"})
	require.NoError(t, err)
	cancel()
	require.NoError(t, l.Release(ctx))
	require.NoError(t, set.Release(ctx))
	assert.Len(t, asked, 2)
}

// It has to be noticed although nobody was told: that is what timers are late for.
func TestSetWhoseMemberIsLostMeanwhileIsNotHad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFakeBackend()
		c := b.client(t)
		b.take("b", true)
		done := make(chan error)
		go func() {
			_, err := c.AcquireAll(context.Background(), []string{"a", "b"})
			done <- err
		}()
		synctest.Wait()
		b.mu.Lock()
		h := b.holds["a"][0]
		h.gone = ErrExpired
		b.drop(h)
		b.mu.Unlock()
		b.take("b", false)
		err := <-done
		require.ErrorIs(t, err, ErrLost)
		assert.NotErrorIs(t, err, ErrNotAcquired)
		assert.Zero(t, b.held("b"))
		assert.Empty(t, c.queue.lines)
	})
}

// A database that hangs may take all of Close's time.
func TestCloseEndsTheLineBeforeTheDatabaseAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		answer := make(chan struct{})
		c := New(&watchedBackend{fakeBackend: newFakeBackend(), releasing: func(context.Context) {}, closing: func() { <-answer }})
		acquire(t, c, "n")
		waited := make(chan error, 1)
		go func() {
			_, err := c.Acquire(context.Background(), "n")
			waited <- err
		}()
		synctest.Wait()
		closed := make(chan error)
		go func() { closed <- c.Close(context.Background()) }()
		synctest.Wait()
		select {
		case err := <-waited:
			assert.ErrorIs(t, err, ErrClosed)
		default:
			assert.Fail(t, "it waits on")
		}
		close(answer)
		require.NoError(t, <-closed)
	})
}

// What another attempt cannot mend is not tried again, however patient the caller is.
func TestWorkThatIsHopelessEndsAtOnce(t *testing.T) {
	for _, hopeless := range []error{ErrSchema, ErrUnsupported, ErrInvalid, ErrClosed} {
		synctest.Test(t, func(t *testing.T) {
			b := newFakeBackend()
			b.tryErr = hopeless
			ctx, cancel := context.WithTimeoutCause(t.Context(), time.Minute, errors.New("it was tried again"))
			defer cancel()
			assert.ErrorIs(t, b.client(t).Work(ctx, "n", func(context.Context) error { return nil }), hopeless)
		})
	}
}
