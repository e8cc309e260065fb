package sqllock

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// bubbleClock is the time of synctest, which SystemClock does not go by.
type bubbleClock struct{ start time.Time }

func (c bubbleClock) Now() time.Duration { return time.Since(c.start) }

func (c bubbleClock) AfterFunc(d time.Duration, f func()) Timer { return time.AfterFunc(d, f) }

func inBubble() ClientOption { return WithClock(bubbleClock{time.Now()}) }

// loseName ends the only hold of a name, and tells its holder.
func (b *fakeBackend) loseName(name string, reason error) {
	b.mu.Lock()
	h := b.holds[b.Key(name)][0]
	h.gone = reason
	b.drop(h)
	b.change()
	b.mu.Unlock()
	h.req.Holder.Lost(reason)
}

func TestWorkGoesOnAfterALoss(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFakeBackend()
		runs := 0
		err := b.client(t, inBubble()).Work(t.Context(), "n", func(ctx context.Context) error {
			switch runs++; runs {
			case 1, 2:
				b.loseName("n", ErrForced)
				<-ctx.Done()
				assert.ErrorIs(t, context.Cause(ctx), ErrForced)
				if runs == 1 {
					return nil // as who has been told to end does: it is not done
				}
				return context.Cause(ctx)
			default:
				assert.Equal(t, 1, b.held("n"))
				return nil
			}
		})
		require.NoError(t, err)
		assert.Equal(t, 3, runs)
		assert.Zero(t, b.held("n"))
	})
}

func TestWorkPausesLongerForEachFailureUntilARunWasLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFakeBackend()
		var ended time.Time
		var pauses []time.Duration
		err := b.client(t, inBubble()).Work(t.Context(), "n", func(context.Context) error {
			if !ended.IsZero() {
				pauses = append(pauses, time.Since(ended))
			}
			switch len(pauses) {
			case 11:
				time.Sleep(longestPause)
			case 13:
				return nil
			}
			ended = time.Now()
			return errWire
		})
		require.NoError(t, err)
		want := shortestPause
		for i, pause := range pauses {
			if i == 11 {
				want = shortestPause
			}
			assert.GreaterOrEqual(t, pause, want/2, i)
			assert.LessOrEqual(t, pause, want, i)
			want = min(2*want, longestPause)
		}
		assert.Equal(t, 4*shortestPause, want)
	})
}

func TestWorkIsFreeForOthersWhileItPauses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFakeBackend()
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() {
			ended <- b.client(t, inBubble()).Work(ctx, "n", func(context.Context) error { return errWire })
		}()
		synctest.Wait() // it pauses
		acquire(t, b.client(t), "n")
		cancel()
		require.ErrorIs(t, <-ended, context.Canceled)
	})
}

func TestContextEndsWorkWhateverItDoes(t *testing.T) {
	errOver, errMine := errors.New("over"), errors.New("mine")
	for what, tt := range map[string]struct {
		taken bool
		fn    func(ctx context.Context) error
		want  []error
	}{
		"waiting":                  {taken: true, want: []error{ErrNotAcquired, errOver}},
		"pausing":                  {fn: func(context.Context) error { return errMine }, want: []error{errOver}},
		"running":                  {fn: func(ctx context.Context) error { <-ctx.Done(); return context.Cause(ctx) }, want: []error{errOver}},
		"running and content":      {fn: func(ctx context.Context) error { <-ctx.Done(); return nil }},
		"running and failing then": {fn: func(ctx context.Context) error { <-ctx.Done(); return errMine }, want: []error{errMine}},
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newFakeBackend()
				b.take("n", tt.taken)
				ctx, cancel := context.WithCancelCause(t.Context())
				ended := make(chan error)
				go func() { ended <- b.client(t, inBubble()).Work(ctx, "n", tt.fn, Wait(0)) }()
				synctest.Wait()
				cancel(errOver)
				err := <-ended
				if tt.want == nil {
					require.NoError(t, err)
				}
				for _, want := range tt.want {
					require.ErrorIs(t, err, want)
				}
				assert.Zero(t, b.held("n"))
			})
		})
	}
}

// endOnFailure ends a context when an attempt has failed.
type endOnFailure struct {
	NopTracer
	end func()
}

func (e endOnFailure) TraceAcquireEnd(context.Context, AcquireEnd) { e.end() }

func TestContextEndsWorkWhoseDatabaseFails(t *testing.T) {
	errOver := errors.New("over")
	b := newFakeBackend()
	b.tryErr = errWire
	ctx, cancel := context.WithCancelCause(t.Context())
	c := b.client(t, WithTracer(endOnFailure{end: func() { cancel(errOver) }}))
	err := c.Work(ctx, "n", func(context.Context) error { panic("without the lock") })
	require.ErrorIs(t, err, errOver)
	require.ErrorIs(t, err, errWire)
}

func TestPanicOfWorkReleasesAndGoesOn(t *testing.T) {
	b := newFakeBackend()
	c := b.client(t)
	require.PanicsWithValue(t, "ouch", func() { _ = c.Work(t.Context(), "n", func(context.Context) error { panic("ouch") }) })
	assert.Zero(t, b.held("n"))
	assert.Empty(t, c.queue.lines)
}

func TestWorkersOfManyClientsNeverRunAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFakeBackend()
		var inside atomic.Int32
		var runs atomic.Int64
		var all sync.WaitGroup
		for range 5 {
			c := b.client(t, inBubble())
			all.Go(func() {
				mine := 0
				assert.NoError(t, c.Work(t.Context(), "n", func(context.Context) error {
					assert.EqualValues(t, 1, inside.Add(1))
					defer inside.Add(-1)
					runs.Add(1)
					time.Sleep(time.Millisecond)
					if mine++; mine < 20 {
						return errWire
					}
					return nil
				}))
			})
		}
		all.Wait()
		assert.EqualValues(t, 5*20, runs.Load())
	})
}

func TestWorkWaitsForTheDatabase(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFakeBackend()
		b.tryErr = errWire
		time.AfterFunc(time.Minute, func() {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.tryErr = nil
		})
		require.NoError(t, b.client(t, inBubble()).Work(t.Context(), "n", func(context.Context) error { return nil }))
	})
}

func TestWorkThatIsDoneIsNotDoneAgainBecauseItsReleaseFails(t *testing.T) {
	b := newFakeBackend()
	runs := 0
	err := b.client(t).Work(t.Context(), "n", func(context.Context) error {
		runs++
		b.freeErr = errWire
		return nil
	})
	require.ErrorIs(t, err, errWire)
	assert.Equal(t, 1, runs)
}

func TestWorkReturnsWhatAnotherAttemptCannotMend(t *testing.T) {
	never := func(context.Context) error {
		t.Error("it runs")
		return nil
	}
	b := newFakeBackend()
	c := b.client(t)
	require.ErrorIs(t, c.Work(t.Context(), "", never), ErrInvalid)
	b.can = Capabilities{}
	require.ErrorIs(t, c.Work(t.Context(), "n", never, AtLeast(time.Hour)), ErrUnsupported)
	b.tryErr = ErrSchema
	require.ErrorIs(t, c.Work(t.Context(), "n", never), ErrSchema)
	b.tryErr = nil
	require.ErrorIs(t, c.Work(t.Context(), "n", func(ctx context.Context) error {
		assert.NoError(t, c.Close(context.Background()))
		<-ctx.Done()
		return nil
	}), ErrClosed)
	require.ErrorIs(t, c.Work(t.Context(), "n", never), ErrClosed)
}

// What fn says of something else is not about the lock.
func TestErrorsOfTheWorkItselfAreFailuresLikeOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		runs := 0
		require.NoError(t, newFakeBackend().client(t, inBubble()).Work(t.Context(), "n", func(context.Context) error {
			if runs++; runs == 1 {
				return errors.Join(ErrSchema, ErrClosed, ErrInvalid, ErrUnsupported, ErrLost)
			}
			return nil
		}))
		assert.Equal(t, 2, runs)
	})
}
