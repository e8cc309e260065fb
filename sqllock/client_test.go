package sqllock

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestCloseIsDoneOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFakeBackend()
		c := New(b)
		l := acquire(t, c, "n")
		ctx, cancel := l.Context(t.Context())
		defer cancel()
		inLine := make(chan error)
		go func() {
			_, err := c.Acquire(context.Background(), "n")
			inLine <- err
		}()
		synctest.Wait()

		over, stop := context.WithCancel(t.Context())
		stop()
		require.NoError(t, c.Close(over), "it works with a cancelled context")
		require.ErrorIs(t, <-inLine, ErrClosed)
		assert.ErrorIs(t, l.Err(), ErrClosed)
		assert.NotErrorIs(t, l.Err(), ErrLost)
		assert.ErrorIs(t, context.Cause(ctx), ErrClosed)
		assert.False(t, isOpen(l.Done()))
		assert.NoError(t, l.Release(t.Context()))
		require.NoError(t, c.Close(t.Context()))
		assert.Equal(t, 1, b.closed)
	})
}

func TestClosedClientRefusesEverything(t *testing.T) {
	b := newFakeBackend()
	c := New(b)
	require.NoError(t, c.Close(t.Context()))
	ctx := t.Context()
	for how, ask := range map[string]func() error{
		"Acquire":      func() error { _, err := c.Acquire(ctx, "n"); return err },
		"TryAcquire":   func() error { _, err := c.TryAcquire(ctx, "n"); return err },
		"AcquireAll":   func() error { _, err := c.AcquireAll(ctx, []string{"n"}); return err },
		"Do":           func() error { return c.Do(ctx, "n", nil) },
		"Ping":         func() error { return c.Ping(ctx) },
		"Locks":        func() error { _, err := c.Locks(ctx); return err },
		"ForceRelease": func() error { return c.ForceRelease(ctx, "n") },
		"Leader":       func() error { _, err := c.Leader(ctx, "n"); return err },
	} {
		require.ErrorIs(t, ask(), ErrClosed, how)
	}
	assert.Empty(t, b.log())
}

func TestForceReleaseNamesWhatItCouldNotConfirm(t *testing.T) {
	c := newFakeBackend().client(t)
	err := c.ForceRelease(t.Context(), "n")
	require.ErrorIs(t, err, ErrNotConfirmed)
	assert.ErrorContains(t, err, `"n"`)
	assert.ErrorIs(t, c.ForceRelease(t.Context(), ""), ErrInvalid)
}

func TestLeaderNeedsABackendThatKeepsIt(t *testing.T) {
	c := newFakeBackend().client(t)
	_, err := c.Leader(t.Context(), "n")
	require.ErrorIs(t, err, ErrUnsupported)
	l := acquire(t, c, "n")
	require.ErrorIs(t, l.Publish(t.Context(), nil), ErrUnsupported)
	require.ErrorIs(t, l.Publish(t.Context(), map[string]string{"\xff": ""}), ErrInvalid)
}
