package sqllock

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func acquire(t *testing.T, c *Client, name string, opts ...Option) *Lock {
	t.Helper()
	l, err := c.Acquire(t.Context(), name, opts...)
	require.NoError(t, err)
	return l
}

func isOpen(done <-chan struct{}) bool {
	select {
	case <-done:
		return false
	default:
		return true
	}
}

var errWire = errors.New("the connection broke")

func TestLossReachesEverybodyWhoAsks(t *testing.T) {
	b := newFakeBackend()
	c := b.client(t)
	l := acquire(t, c, "n")
	ctx, cancel := l.Context(t.Context())
	defer cancel()
	done := l.Done()
	require.NoError(t, l.Err())
	require.True(t, isOpen(done))
	require.NoError(t, ctx.Err())

	b.lose(l, ErrForced, true)
	for what, err := range map[string]error{
		"Err": l.Err(), "Context": context.Cause(ctx), "Verify": l.Verify(t.Context()), "Release": l.Release(t.Context()),
		"a second Release": l.Release(t.Context()), "Publish": l.Publish(t.Context(), nil),
	} {
		assert.ErrorIs(t, err, ErrLost, what)
		assert.ErrorIs(t, err, ErrForced, what)
	}
	assert.False(t, isOpen(done))
	assert.False(t, isOpen(l.Done()), "asked for after the end")
	late, cancel := l.Context(t.Context())
	defer cancel()
	assert.ErrorIs(t, context.Cause(late), ErrForced)
	assert.Empty(t, c.queue.lines)
	require.NoError(t, acquire(t, c, "n").Release(t.Context()))
}

// Nobody has told the holder; it looks.
func TestErrFindsOutByItself(t *testing.T) {
	b := newFakeBackend()
	c := b.client(t)
	for what, look := range map[string]func(*Lock) error{
		"Err":     (*Lock).Err,
		"Verify":  func(l *Lock) error { return l.Verify(t.Context()) },
		"Release": func(l *Lock) error { return l.Release(t.Context()) },
	} {
		l := acquire(t, c, "n")
		done := l.Done()
		b.lose(l, ErrExpired, false)
		require.ErrorIs(t, look(l), ErrExpired, what)
		assert.False(t, isOpen(done), what)
		assert.ErrorIs(t, l.Err(), ErrLost, what)
	}
	assert.Empty(t, c.queue.lines)
}

func TestReleaseEndsTheLockForEverybody(t *testing.T) {
	b := newFakeBackend()
	l := acquire(t, b.client(t), "n")
	ctx, cancel := l.Context(t.Context())
	defer cancel()
	done := l.Done()
	cancelled, stop := context.WithCancel(t.Context())
	stop()
	require.NoError(t, l.Release(cancelled), "a cancelled context does not keep it")
	assert.ErrorIs(t, l.Err(), ErrReleased)
	assert.NotErrorIs(t, l.Err(), ErrLost)
	assert.ErrorIs(t, context.Cause(ctx), ErrReleased)
	assert.False(t, isOpen(done))
	require.NoError(t, l.Release(t.Context()), "a second Release")
	assert.Equal(t, []string{"try n", "release n"}, b.log())
}

func TestReleaseThatFindsTheLockGoneSaysSo(t *testing.T) {
	b := newFakeBackend()
	c := b.client(t)
	l := acquire(t, c, "n")
	b.freeErr = &LostError{Name: "n", Reason: ErrForced}
	require.ErrorIs(t, l.Release(t.Context()), ErrForced)
	assert.ErrorIs(t, l.Err(), ErrLost)
	assert.ErrorIs(t, l.Release(t.Context()), ErrLost)

	m := acquire(t, c, "m")
	b.freeErr = errWire
	err := m.Release(t.Context())
	require.ErrorIs(t, err, errWire)
	require.NotErrorIs(t, err, ErrLost)
	assert.ErrorContains(t, err, `"m"`)
	assert.ErrorIs(t, m.Err(), ErrReleased)
	assert.Empty(t, c.queue.lines)
}

func TestContextEndsWithItsParentAndItsCancel(t *testing.T) {
	l := acquire(t, newFakeBackend().client(t), "n")
	parent, stop := context.WithCancelCause(t.Context())
	ctx, cancel := l.Context(parent)
	defer cancel()
	stop(errWire)
	assert.ErrorIs(t, context.Cause(ctx), errWire)

	ctx, cancel = l.Context(t.Context())
	cancel()
	assert.ErrorIs(t, context.Cause(ctx), context.Canceled)
	cancel()
	assert.NoError(t, l.Err())
	assert.Len(t, l.hooks, 1, "who has cancelled is not told")
}

// It may be told before the call that acquires it has returned.
func TestLossDuringAcquire(t *testing.T) {
	b := newFakeBackend()
	c := b.client(t)
	l, _, err := c.prepare("n", nil)
	require.NoError(t, err)
	require.NoError(t, c.queue.enter(t.Context(), &l.ticket))
	r := c.tryOne(t.Context(), l)
	l.req.Holder.Lost(ErrExpired)
	hold, err := c.settle(r, l)
	require.NoError(t, err)
	require.ErrorIs(t, l.start(hold), ErrExpired)
	assert.Empty(t, c.queue.lines)
}

func TestManyAskAtOnceWhetherItIsLost(t *testing.T) {
	b := newFakeBackend()
	c := b.client(t)
	for range 50 {
		l := acquire(t, c, "n")
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() { _ = l.Err() })
			all.Go(func() { <-l.Done() })
			all.Go(func() {
				ctx, cancel := l.Context(context.Background())
				defer cancel()
				<-ctx.Done()
			})
		}
		all.Go(func() { b.lose(l, ErrForced, true) })
		all.Go(func() { _ = l.Release(context.Background()) })
		all.Wait()
		require.Error(t, l.Err())
	}
	assert.Empty(t, c.queue.lines)
}

func TestDeadlineIsOnTheWallClock(t *testing.T) {
	b := newFakeBackend()
	l := acquire(t, b.client(t), "n")
	assert.True(t, l.Deadline().IsZero(), "there is none")
	b.deadline = SystemClock.Now() + time.Hour
	assert.WithinDuration(t, time.Now().Add(time.Hour), l.Deadline(), time.Minute)
}
