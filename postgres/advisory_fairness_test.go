package postgres_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sqllock/toolkit/sqllock"
)

// looping acquires and releases until the test is done with it, and counts.
type looping struct {
	granted, active atomic.Int64
	err             error
	stopped         chan struct{}
}

func (s *scene) loop(ctx context.Context, c *sqllock.Client, work func(), opts ...sqllock.Option) *looping {
	l := &looping{stopped: make(chan struct{})}
	go func() {
		defer close(l.stopped)
		for ctx.Err() == nil {
			lock, err := c.Acquire(s.Context(), "n", opts...)
			if err != nil {
				l.err = err
				return
			}
			l.granted.Add(1)
			l.active.Add(1)
			work()
			l.active.Add(-1)
			if err := lock.Release(s.Context()); err != nil {
				l.err = err
				return
			}
		}
	}()
	return l
}

// settled waits for loops that have been told to stop.
func (s *scene) settled(loops ...*looping) {
	s.Helper()
	for _, l := range loops {
		select {
		case <-l.stopped:
			require.NoError(s, l.err)
		case <-time.After(2 * sceneSlack):
			s.Fatal("a loop does not end")
		}
	}
}

// TestAdvisoryClientInALoopLeavesOthersTheirTurns: whoever releases is nearer to the next grant than those who are only just told of it.
func TestAdvisoryClientInALoopLeavesOthersTheirTurns(t *testing.T) {
	t.Parallel()
	const grants, ratio = 400, 3
	s := newScene(t)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	starter := s.client()
	held := s.acquire(starter, "n")
	a, b := s.loop(ctx, s.client(), func() {}), s.loop(ctx, s.client(), func() {})
	s.eventually(func() bool { return s.waiters("n") == 2 }, "both wait")
	s.release(held)
	for deadline := time.Now().Add(3 * sceneSlack); a.granted.Load()+b.granted.Load() < grants; time.Sleep(time.Millisecond) {
		require.True(t, time.Now().Before(deadline), "%d and %d grants only", a.granted.Load(), b.granted.Load())
	}
	n, m := a.granted.Load(), b.granted.Load()
	assert.LessOrEqual(t, max(n, m), ratio*min(n, m), "%d grants to one, %d to the other", n, m)
	stop()
	s.settled(a, b)
}

// TestAdvisoryWriterGetsInBetweenReaders that overlap all the time: one who only tried whenever somebody releases would find others reading.
func TestAdvisoryWriterGetsInBetweenReaders(t *testing.T) {
	t.Parallel()
	const rounds = 8
	s := newScene(t)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var reading atomic.Int64
	var readers []*looping
	for range 3 {
		c := s.client()
		for range 2 {
			readers = append(readers, s.loop(ctx, c, func() {
				reading.Add(1)
				// Until another one reads too, and for a while at least; while the writer waits no other comes.
				for end := time.Now().Add(20 * time.Millisecond); time.Now().Before(end) || reading.Load() < 2 && time.Now().Before(end.Add(30*time.Millisecond)); {
					time.Sleep(time.Millisecond)
				}
				reading.Add(-1)
			}, sqllock.Shared()))
		}
	}
	writer := s.client()
	for range rounds {
		s.eventually(func() bool { return reading.Load() >= 3 }, "readers overlap")
		l := s.acquire(writer, "n")
		assert.Zero(t, reading.Load())
		s.release(l)
	}
	stop()
	s.settled(readers...)
}

// TestAdvisoryReadersGetInBetweenWriters of whom one always waits: readers who always yielded to that would never read.
func TestAdvisoryReadersGetInBetweenWriters(t *testing.T) {
	t.Parallel()
	const rounds = 20
	s := newScene(t)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	writers := []*looping{s.loop(ctx, s.client(), func() {}), s.loop(ctx, s.client(), func() {})}
	written := func() int64 { return writers[0].granted.Load() + writers[1].granted.Load() }
	s.eventually(func() bool { return writers[0].granted.Load() > 0 && writers[1].granted.Load() > 0 }, "both write")

	var between atomic.Int64
	var all sync.WaitGroup
	for range 2 {
		c := s.client()
		all.Go(func() {
			for range rounds {
				before := written()
				l, err := c.Acquire(t.Context(), "n", sqllock.Shared(), sqllock.Wait(sceneSlack))
				if !assert.NoError(t, err) {
					return
				}
				between.Add(written() - before)
				if !assert.NoError(t, l.Release(t.Context())) {
					return
				}
			}
		})
	}
	all.Wait()
	assert.LessOrEqual(t, between.Load(), int64(2*rounds*20), "writers overtook readers so often in %d grants", 2*rounds)
	stop()
	s.settled(writers...)
}
