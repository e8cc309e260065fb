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

func TestDoReleasesWhateverHappens(t *testing.T) {
	b := newFakeBackend()
	c := b.client(t)
	ctx := t.Context()
	errMine := errors.New("mine")

	require.NoError(t, c.Do(ctx, "n", func(context.Context) error {
		assert.Equal(t, 1, b.held("n"))
		return nil
	}))
	require.Zero(t, b.held("n"))
	require.ErrorIs(t, c.Do(ctx, "n", func(context.Context) error { return errMine }), errMine)
	require.Zero(t, b.held("n"))
	require.PanicsWithValue(t, "ouch", func() { _ = c.Do(ctx, "n", func(context.Context) error { panic("ouch") }) })
	require.Zero(t, b.held("n"))
	assert.Empty(t, c.queue.lines)
}

func TestDoTellsOfTheLoss(t *testing.T) {
	b := newFakeBackend()
	c := b.client(t)
	lose := func() {
		b.mu.Lock()
		h := b.holds["n"][0]
		h.gone = ErrForced
		b.drop(h)
		b.mu.Unlock()
		h.req.Holder.Lost(ErrForced)
	}
	errMine := errors.New("mine")
	err := c.Do(t.Context(), "n", func(ctx context.Context) error {
		lose()
		<-ctx.Done()
		assert.ErrorIs(t, context.Cause(ctx), ErrForced)
		return errMine
	})
	require.ErrorIs(t, err, ErrLost)
	require.ErrorIs(t, err, ErrForced)
	require.ErrorIs(t, err, errMine)
	require.ErrorIs(t, c.Do(t.Context(), "n", func(context.Context) error { lose(); return nil }), ErrLost, "even if fn is content")

	b.freeErr = errWire
	require.ErrorIs(t, c.Do(t.Context(), "n", func(context.Context) error { return nil }), errWire)
}

// Whoever closes the Client, in a hook for shutdown for example, lets others have the lock while fn may not have noticed.
func TestDoTellsThatTheClientWasClosed(t *testing.T) {
	c := newFakeBackend().client(t)
	require.ErrorIs(t, c.Do(t.Context(), "n", func(ctx context.Context) error { return c.Close(ctx) }), ErrClosed)
}

func TestDoDoesNotRunWithoutTheLock(t *testing.T) {
	b := newFakeBackend()
	b.take("n", true)
	err := b.client(t).Do(t.Context(), "n", func(context.Context) error {
		t.Error("it runs")
		return nil
	}, Wait(0))
	require.ErrorIs(t, err, ErrNotAcquired)
}

func TestWhatThisProcessHoldsNeedsNoDatabase(t *testing.T) {
	b := newFakeBackend()
	c := b.client(t, Owner("me"))
	acquire(t, c, "n")
	b.log()
	_, err := c.TryAcquire(t.Context(), "N")
	var held *HeldError
	require.ErrorAs(t, err, &held)
	assert.Equal(t, "N", held.Name)
	assert.Equal(t, "me", held.Owner)
	assert.NoError(t, held.Cause)
	assert.Empty(t, b.log())
}

func TestWaitIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFakeBackend()
		c := b.client(t)
		b.take("taken", true)
		acquire(t, c, "here")
		for _, name := range []string{"taken", "here"} {
			start := time.Now()
			_, err := c.Acquire(t.Context(), name, Wait(time.Second))
			require.ErrorIs(t, err, ErrNotAcquired, name)
			assert.NotErrorIs(t, err, context.DeadlineExceeded, name)
			assert.ErrorContains(t, err, "waited 1s")
			assert.Equal(t, time.Second, time.Since(start), name)

			ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, errWire)
			_, err = c.Acquire(ctx, name)
			cancel()
			require.ErrorIs(t, err, ErrNotAcquired, name)
			assert.ErrorIs(t, err, errWire, name)
		}
	})
}

func TestWhoAsksTooLateIsNotRefused(t *testing.T) {
	b := newFakeBackend()
	c := b.client(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errWire)
	for what, ask := range map[string]func() error{
		"Acquire":    func() error { _, err := c.Acquire(ctx, "n"); return err },
		"TryAcquire": func() error { _, err := c.TryAcquire(ctx, "n"); return err },
		"AcquireAll": func() error { _, err := c.AcquireAll(ctx, []string{"n", "m"}); return err },
		"Do":         func() error { return c.Do(ctx, "n", func(context.Context) error { return nil }) },
	} {
		err := ask()
		require.ErrorIs(t, err, errWire, what)
		require.NotErrorIs(t, err, ErrNotAcquired, what)
	}
	assert.Empty(t, b.log())
	acquire(t, c, "n")
}

func TestDatabaseErrorEndsTheWait(t *testing.T) {
	b := newFakeBackend()
	c := b.client(t)
	b.tryErr = errWire
	for _, ask := range []func(context.Context, string, ...Option) (*Lock, error){c.Acquire, c.TryAcquire} {
		_, err := ask(t.Context(), "n")
		require.ErrorIs(t, err, errWire)
		require.NotErrorIs(t, err, ErrNotAcquired)
	}
	assert.Empty(t, c.queue.lines)
}

func TestWaitersOfOneProcessAreOneWaiterOfTheDatabase(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFakeBackend()
		c := b.client(t)
		b.take("n", true)
		granted := make(chan *Lock)
		for range 10 {
			go func() {
				if l, err := c.Acquire(t.Context(), "n"); assert.NoError(t, err) {
					granted <- l
				}
			}()
		}
		synctest.Wait()
		assert.Len(t, b.waiting, 1)
		b.take("n", false)
		var last int64
		for range 10 {
			l := <-granted
			assert.Greater(t, l.Token(), last)
			last = l.Token()
			require.NoError(t, l.Release(t.Context()))
		}
		assert.Empty(t, c.queue.lines)
	})
}
