package leaderelect_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sqllock/toolkit/leaderelect"
	"github.com/sqllock/toolkit/sqllock"
)

// sight is one thing that an observer was told.
type sight struct {
	id  string
	err error
	at  time.Time
}

// observed collects what e's observers are told until the function returned is called.
func (s *scene) observed(e *leaderelect.Elector) (sights func() []sight, stop func()) {
	ctx, cancel := context.WithCancel(s.Context())
	var all []sight
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for leader, err := range e.Observe(ctx) {
			all = append(all, sight{leader.ID, err, time.Now()})
		}
	}()
	synctest.Wait()
	return func() []sight {
			synctest.Wait()
			got := all
			all = nil
			return got
		}, func() {
			cancel()
			<-ended
		}
}

func TestObserveTellsEachLeaderInOrder(t *testing.T) {
	play(t, func(s *scene) {
		a, b, watcher := s.candidate("a", nil), s.candidate("b", nil), s.candidate("watcher", nil)
		sights, stop := s.observed(watcher.Elector)
		got := sights()
		require.Len(s, got, 1)
		require.ErrorIs(s, got[0].err, sqllock.ErrNoLeader)

		a.run()
		b.run()
		time.Sleep(2 * time.Second)
		got = sights()
		require.Len(s, got, 1, "once")
		assert.Equal(s, "a", got[0].id)
		time.Sleep(time.Hour)
		require.Empty(s, sights(), "nothing new")
		assert.EqualValues(s, 1, watcher.Stats().Transitions)

		require.NoError(s, a.Resign(s.Context()))
		time.Sleep(2 * time.Second)
		got = sights()
		require.Len(s, got, 1)
		assert.Equal(s, "b", got[0].id)
		assert.EqualValues(s, 2, watcher.Stats().Transitions)
		a.leave()
		b.leave()
		stop()
	})
}

func TestObserveTellsOwnTermsAtOnce(t *testing.T) {
	play(t, func(s *scene) {
		a := s.candidate("a", func(c *leaderelect.Config) { c.ObserveInterval = time.Hour })
		sights, stop := s.observed(a.Elector)
		sights()
		began := time.Now()
		a.run()
		require.NoError(s, a.Resign(s.Context()))
		got := sights()
		require.NotEmpty(s, got)
		last := got[len(got)-1]
		require.ErrorIs(s, last.err, sqllock.ErrNoLeader)
		assert.Equal(s, began, last.at)
		a.leave()
		a.run()
		got = sights()
		require.Len(s, got, 1)
		assert.Equal(s, "a", got[0].id)
		assert.Equal(s, began, got[0].at)
		a.leave()
		stop()
	})
}

func TestObserveTellsErrorsOfTheDatabase(t *testing.T) {
	play(t, func(s *scene) {
		a := s.candidate("a", nil).run()
		sights, stop := s.observed(a.Elector)
		require.Len(s, sights(), 1)
		s.db.fails(errTest)
		time.Sleep(time.Minute)
		got := sights()
		require.Len(s, got, 1, "once")
		require.ErrorIs(s, got[0].err, errTest)
		require.NotErrorIs(s, got[0].err, sqllock.ErrNoLeader)
		a.leads(1)
		s.db.fails(nil)
		time.Sleep(time.Minute)
		got = sights()
		require.Len(s, got, 1)
		assert.Equal(s, "a", got[0].id)
		stop()
		a.leave()
	})
}

// TestSlowObserverSeesTheLatest does nothing for a while, which holds nobody up.
func TestSlowObserverSeesTheLatest(t *testing.T) {
	play(t, func(s *scene) {
		a := s.candidate("a", nil).run()
		b := s.candidate("b", nil).run()
		c := s.candidate("c", nil).run()
		var seen []string
		for leader, err := range a.Observe(s.Context()) {
			require.NoError(s, err)
			if seen = append(seen, leader.ID); leader.ID == "c" {
				break
			}
			require.NoError(s, a.Resign(s.Context()))
			b.leads(1)
			require.NoError(s, b.Resign(s.Context()))
			c.leads(1)
		}
		assert.Equal(s, []string{"a", "c"}, seen)
		for _, c := range []*candidate{a, b, c} {
			c.stop(nil)
			require.NoError(s, c.ends())
		}
	})
}

func TestObserveEndsWhereAskingCannotHelp(t *testing.T) {
	play(t, func(s *scene) {
		s.db.unpublished = sqllock.ErrUnsupported
		a := s.candidate("a", nil)
		var told []error
		for _, err := range a.Observe(s.Context()) {
			told = append(told, err)
		}
		require.Len(s, told, 1)
		require.ErrorIs(s, told[0], sqllock.ErrUnsupported)
	})
}

func TestOnLeaderChangeIsToldOfEachLeader(t *testing.T) {
	play(t, func(s *scene) {
		var told []string
		a := s.candidate("a", func(c *leaderelect.Config) {
			c.OnLeaderChange = func(l leaderelect.Leader) { told = append(told, l.ID) }
		}).run()
		b := s.candidate("b", nil).run()
		s.db.fails(errTest)
		time.Sleep(time.Minute)
		s.db.fails(nil)
		time.Sleep(time.Minute)
		require.NoError(s, a.Resign(s.Context()))
		synctest.Wait()
		assert.Equal(s, []string{"a", "b"}, told)
		b.leave()
		time.Sleep(2 * time.Second)
		a.leave()
		assert.Equal(s, []string{"a", "b", ""}, told[:3])
	})
}
