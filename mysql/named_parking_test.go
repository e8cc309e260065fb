package mysql_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sqllock/toolkit/internal/testdb"
	"github.com/sqllock/toolkit/mysql"
	"github.com/sqllock/toolkit/sqllock"
)

func TestNamedLocksOfAClientShareOneConnection(t *testing.T) {
	t.Parallel()
	s := newNamedScene(t)
	c := s.client()
	const names, rounds = 256, 3
	var all sync.WaitGroup
	held := make(chan *sqllock.Lock, names)
	for i := range names {
		all.Go(func() {
			for round := range rounds {
				l, err := c.Acquire(t.Context(), fmt.Sprint("n", i))
				if !assert.NoError(t, err) {
					return
				}
				if round == rounds-1 {
					held <- l
					return
				}
				assert.NoError(t, l.Release(t.Context()))
			}
		})
	}
	all.Wait()
	require.Len(t, held, names)
	require.Len(t, s.sessions(), 1)
	session := s.sessions()[0]
	for range names {
		l := <-held
		require.Equal(t, session, s.holder(l.Name()))
		s.release(l)
	}
	require.Zero(t, s.holder("n0"))
}

// TestNamedParksOneConnectionForEachNameUpToTheLimit and polls the other names, of which each is tried again when something is pushed about
// another at the latest after Poll.
func TestNamedParksOneConnectionForEachNameUpToTheLimit(t *testing.T) {
	t.Parallel()
	const names = 7
	for parked := range 4 {
		t.Run(fmt.Sprint(parked), func(t *testing.T) {
			t.Parallel()
			s := newNamedScene(t)
			holder, c := s.client(), s.client(mysql.MaxParked(parked), mysql.Poll(20*time.Millisecond))
			var held []*sqllock.Lock
			var got []<-chan namedGrant
			for i := range names {
				held = append(held, s.acquire(holder, fmt.Sprint("n", i)))
			}
			for i := range names {
				got = append(got, s.begins(c, fmt.Sprint("n", i)), s.begins(c, fmt.Sprint("n", i)))
			}
			parkedNow := func() (n int) {
				for i := range names {
					n += len(s.waiting(fmt.Sprint("n", i)))
				}
				return n
			}
			s.eventually(func() bool { return parkedNow() == parked }, "%d wait in the server", parked)
			assert.LessOrEqual(t, len(s.sessions()), 2+parked, "two that carry, and those that wait")
			s.release(held...)
			var all sync.WaitGroup
			for _, g := range got { // of two goroutines one gets it from the other
				all.Go(func() {
					if l := <-g; assert.NoError(t, l.err) {
						assert.NoError(t, l.lock.Release(t.Context()))
					}
				})
			}
			all.Wait()
			assert.Zero(t, parkedNow())
			assert.LessOrEqual(t, len(s.sessions()), 2+parked)
		})
	}
}

// TestNamedOppositeOrdersAreNoDeadlock of the server's: two goroutines of each Client that each have what the other wants wait until they give up.
func TestNamedOppositeOrdersAreNoDeadlock(t *testing.T) {
	t.Parallel()
	s := newNamedScene(t)
	clients := []*sqllock.Client{s.client(), s.client(mysql.MaxParked(1))}
	const rounds = 15
	var all sync.WaitGroup
	var both, gaveUp atomic.Int64
	for _, c := range clients {
		for worker := range 2 {
			all.Go(func() {
				for range rounds {
					first, second := fmt.Sprint("n", worker), fmt.Sprint("n", 1-worker)
					l, err := c.Acquire(t.Context(), first)
					if !assert.NoError(t, err) {
						return
					}
					next, err := c.Acquire(t.Context(), second, sqllock.Wait(time.Duration(1+rand.IntN(30))*time.Millisecond))
					if err == nil {
						both.Add(1)
						assert.NoError(t, next.Release(t.Context()))
					} else {
						gaveUp.Add(1)
						assert.ErrorContains(t, err, "waited")
					}
					assert.NoError(t, l.Release(t.Context()))
				}
			})
		}
	}
	all.Wait()
	assert.Positive(t, both.Load())
	assert.Positive(t, gaveUp.Load())
	s.free("n0", "n1")
}

// TestNamedThoseWhoGiveUpStandInNobodysWay even if they do so the moment they have begun: a connection that was about to wait must not go on
// when nobody is there any more, and whoever asks meanwhile is answered.
func TestNamedThoseWhoGiveUpStandInNobodysWay(t *testing.T) {
	t.Parallel()
	s := newNamedScene(t)
	c := s.client(mysql.MaxParked(4))
	names := []string{"a", "b", "c", "d"}
	var held []*sqllock.Lock
	other := s.client()
	for _, name := range names {
		held = append(held, s.acquire(other, name))
	}
	for range 100 {
		var all sync.WaitGroup
		for _, name := range names {
			all.Go(func() {
				_, err := c.Acquire(t.Context(), name, sqllock.Wait(time.Duration(1+rand.IntN(3000))*time.Microsecond))
				assert.ErrorContains(t, err, "waited")
				ctx, cancel := context.WithTimeout(t.Context(), namedSlack)
				defer cancel()
				_, err = c.TryAcquire(ctx, name)
				assert.ErrorIs(t, err, sqllock.ErrNotAcquired)
				assert.NotErrorIs(t, err, context.DeadlineExceeded, "nobody has answered")
			})
		}
		all.Wait()
		if t.Failed() {
			break
		}
	}
	for _, name := range names {
		s.eventually(func() bool { return len(s.waiting(name)) == 0 }, "nobody waits for %q", name)
	}
	s.release(held...)
	for _, name := range names {
		s.release(s.acquire(c, name))
	}
	s.free(names...)
}

// TestNamedContextsThatEndHarmNoOther lock of the same Client, whatever was under way.
func TestNamedContextsThatEndHarmNoOther(t *testing.T) {
	t.Parallel()
	s := newNamedScene(t)
	c, other := s.client(), s.client()
	kept := []*sqllock.Lock{s.acquire(c, "kept")}
	held := s.acquire(other, "contended")
	got := s.waits(c, "contended")
	s.release(held)
	kept = append(kept, s.granted(got, 0)) // on a connection of its own
	session := s.holder("kept")
	blocked := s.acquire(other, "blocked")
	var all sync.WaitGroup
	for worker := range 8 {
		all.Go(func() {
			for i := range 60 {
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(rand.IntN(2000))*time.Microsecond)
				name := []string{"blocked", fmt.Sprint("free ", worker), "shared"}[i%3]
				l, err := c.Acquire(ctx, name)
				if err == nil {
					err = l.Verify(ctx)
					if err != nil {
						assert.ErrorIs(t, err, context.DeadlineExceeded)
					}
					assert.NoError(t, l.Release(ctx))
				} else if !errors.Is(err, context.DeadlineExceeded) {
					t.Error(err)
				}
				cancel()
			}
		})
	}
	all.Wait()
	for _, l := range kept {
		require.NoError(t, l.Err())
		require.NoError(t, l.Verify(t.Context()))
	}
	require.Equal(t, session, s.holder("kept"))
	require.NoError(t, blocked.Verify(t.Context()))
	s.release(append(kept, blocked)...)
	s.free("blocked", "shared", "free 0")
}

// TestNamedWaitingCostsTheServerLittle for however long it takes.
func TestNamedWaitingCostsTheServerLittle(t *testing.T) {
	t.Parallel()
	const timeout = 3 * time.Second
	s := namedSceneAt(t, testdb.StartMySQL(t).Config())
	held := s.acquire(s.client(), "n")
	got := s.waits(s.client(mysql.SessionTimeout(timeout)), "n")
	<-time.After(timeout) // what is measured
	before := s.count("Questions")
	<-time.After(timeout)
	// Each Client asks two or three things in a fifth of a second.
	asked := s.count("Questions") - before
	t.Log(asked, "statements")
	assert.Less(t, asked, int64(200))
	s.release(held)
	s.release(s.granted(got, 0))
}
