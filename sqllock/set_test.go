package sqllock

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func acquireAll(t *testing.T, c *Client, names ...string) *Set {
	t.Helper()
	s, err := c.AcquireAll(t.Context(), names)
	require.NoError(t, err)
	return s
}

func TestSetIsInTheOrderOfItsKeys(t *testing.T) {
	b := newFakeBackend()
	c := b.client(t)
	s := acquireAll(t, c, "c", "A", "b", "a", "B", "c")
	assert.Equal(t, []string{"A", "b", "c"}, s.Names(), "what the backend cannot tell apart counts once")
	assert.Equal(t, []string{"try A", "try b", "try c"}, b.log())
	require.NoError(t, s.Release(t.Context()))
	assert.Equal(t, []string{"release A", "release b", "release c"}, b.log())
	assert.Empty(t, c.queue.lines)
}

// What lies beyond the name that is waited for would make others wait for us, who wait for them.
func TestSetGivesBackWhatLiesBeyondTheFirstRefusal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFakeBackend()
		c := b.client(t)
		b.take("b", true)
		done := make(chan *Set)
		go func() {
			s, err := c.AcquireAll(context.Background(), []string{"a", "b", "c", "d"})
			assert.NoError(t, err)
			done <- s
		}()
		synctest.Wait()
		assert.Equal(t, []string{"try a", "try b", "try c", "try d", "release c", "release d"}, b.log())
		assert.Equal(t, 1, b.held("a"))
		assert.Zero(t, b.held("c")+b.held("d"))

		b.take("b", false)
		s := <-done
		assert.Equal(t, []string{"try c", "try d"}, b.log(), "b was waited for")
		require.NoError(t, s.Err())
		require.NoError(t, s.Release(t.Context()))
		assert.Empty(t, c.queue.lines)
	})
}

func TestSetThatCannotBeHadLeavesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFakeBackend()
		c := b.client(t)
		b.take("b", true)
		for _, wait := range []time.Duration{0, time.Second} {
			start := time.Now()
			_, err := c.AcquireAll(t.Context(), []string{"a", "b", "c"}, Wait(wait))
			var held *HeldError
			require.ErrorAs(t, err, &held)
			assert.Equal(t, "b", held.Name)
			assert.Equal(t, wait, time.Since(start))
			assert.Zero(t, b.held("a")+b.held("c"))
			assert.Empty(t, c.queue.lines)
		}
		b.take("b", false)
		here := acquire(t, c, "b")
		b.log()
		_, err := c.AcquireAll(t.Context(), []string{"a", "b", "c"}, Wait(0))
		require.ErrorIs(t, err, ErrNotAcquired)
		assert.Empty(t, b.log(), "this process itself stands in the way")
		require.NoError(t, here.Release(t.Context()))
		assert.Empty(t, c.queue.lines)

		b.tryErr = errWire
		_, err = c.AcquireAll(t.Context(), []string{"a", "b"})
		require.ErrorIs(t, err, errWire)
		require.NotErrorIs(t, err, ErrNotAcquired)
		assert.Empty(t, c.queue.lines)
	})
}

// A database that does not answer while names are given back does not hold up the caller for ever.
func TestGivingBackIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFakeBackend()
		hung := &hungRelease{fakeBackend: b}
		c := New(hung)
		b.take("a", true)
		start := time.Now()
		_, err := c.AcquireAll(t.Context(), []string{"a", "b"}, Wait(time.Second))
		require.ErrorIs(t, err, ErrNotAcquired)
		assert.LessOrEqual(t, time.Since(start), releaseTimeout)
		require.NoError(t, c.Close(t.Context()))
	})
}

// hungRelease answers to a Release only when its context ends.
type hungRelease struct{ *fakeBackend }

func (b *hungRelease) Open(SessionConfig) (Session, error) { return b, nil }

func (b *hungRelease) Release(ctx context.Context, _ []Hold, results []error) {
	<-ctx.Done()
	for i := range results {
		results[i] = ctx.Err()
	}
}

func TestSetEndsWithAnyMember(t *testing.T) {
	b := newFakeBackend()
	c := b.client(t)
	for i := range 3 {
		s := acquireAll(t, c, "a", "b", "c")
		ctx, cancel := s.Context(t.Context())
		defer cancel()
		done := s.Done()
		require.True(t, isOpen(done))
		lost := s.Locks()[i]
		b.lose(lost, ErrExpired, true)
		assert.False(t, isOpen(done))
		assert.ErrorIs(t, context.Cause(ctx), ErrExpired)
		assert.Equal(t, lost.Err(), s.Err())
		err := s.Release(t.Context())
		require.ErrorIs(t, err, ErrLost)
		var le *LostError
		require.ErrorAs(t, err, &le)
		assert.Equal(t, lost.Name(), le.Name)
		assert.False(t, isOpen(s.Done()))
	}
	assert.Empty(t, c.queue.lines)
}

func TestSetEndsWithItsRelease(t *testing.T) {
	b := newFakeBackend()
	c := b.client(t)
	s := acquireAll(t, c, "a", "b")
	done := s.Done()
	require.NoError(t, s.Locks()[1].Release(t.Context()), "a member can be released by itself")
	assert.False(t, isOpen(done))
	assert.ErrorIs(t, s.Err(), ErrReleased)
	require.NoError(t, s.Release(t.Context()))
	require.NoError(t, s.Release(t.Context()))
	assert.Empty(t, c.queue.lines)
}

func TestDeadlineOfASetIsItsFirst(t *testing.T) {
	b := newFakeBackend()
	s := acquireAll(t, b.client(t), "a", "b")
	assert.True(t, s.Deadline().IsZero())
	b.deadline = SystemClock.Now() + time.Hour
	assert.WithinDuration(t, time.Now().Add(time.Hour), s.Deadline(), time.Minute)
}
