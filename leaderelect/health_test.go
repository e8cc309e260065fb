package leaderelect_test

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sqllock/toolkit/leaderelect"
)

// patient is a check that tells what it is told to.
type patient struct {
	ill, hangs atomic.Bool
	asked      atomic.Int32
	inside     atomic.Int32
	t          *testing.T
	wakes      chan struct{}
}

func (p *patient) check(context.Context) error {
	assert.EqualValues(p.t, 1, p.inside.Add(1), "checks overlap")
	defer p.inside.Add(-1)
	p.asked.Add(1)
	if p.hangs.Load() {
		<-p.wakes // whatever its context says
	}
	if p.ill.Load() {
		return errTest
	}
	return nil
}

func (s *scene) patient(id string) (*candidate, *patient) {
	s.Helper()
	p := &patient{t: s.T, wakes: make(chan struct{})}
	return s.candidate(id, func(c *leaderelect.Config) {
		c.Health, c.HealthInterval, c.StandBack = p.check, time.Second, time.Minute
	}), p
}

func TestUnhealthyLeaderResigns(t *testing.T) {
	play(t, func(s *scene) {
		a, p := s.patient("a")
		b := s.candidate("b", nil)
		a.run().leads(1)
		b.run()
		time.Sleep(10 * time.Second)
		a.leads(1)
		p.ill.Store(true)
		time.Sleep(time.Second)
		b.leads(1)
		a.follows(1)
		assert.ErrorIs(s, a.reason(), leaderelect.ErrUnhealthy)
		assert.ErrorIs(s, a.reason(), errTest)
		assert.Zero(s, a.Stats().Failures)

		b.leave()
		time.Sleep(time.Hour)
		a.follows(1) // it does not even campaign
		assert.False(s, s.db.held("election"))
		p.ill.Store(false)
		time.Sleep(time.Minute)
		a.leads(2)
		a.leave()
	})
}

func TestUnhealthyCandidateSaysSoOnceUntilItIsHealthy(t *testing.T) {
	play(t, func(s *scene) {
		p := &patient{t: s.T}
		var log bytes.Buffer
		a := s.candidate("a", func(c *leaderelect.Config) {
			c.Health, c.Logger = p.check, slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelWarn}))
		})
		p.ill.Store(true)
		a.run()
		time.Sleep(time.Hour)
		a.follows(0)
		p.ill.Store(false)
		time.Sleep(time.Minute)
		a.leads(1)
		p.ill.Store(true)
		time.Sleep(time.Hour)
		a.leave()
		assert.Equal(s, 2, strings.Count(log.String(), "\n"), log.String())
		assert.Equal(s, 2, strings.Count(log.String(), errTest.Error()), log.String())
	})
}

func TestCheckThatHangsEndsTheTerm(t *testing.T) {
	play(t, func(s *scene) {
		a, p := s.patient("a")
		b := s.candidate("b", nil)
		a.run().leads(1)
		b.run()
		p.hangs.Store(true)
		time.Sleep(2 * time.Second)
		b.leads(1)
		a.follows(1)
		assert.ErrorIs(s, a.reason(), leaderelect.ErrUnhealthy)
		assert.ErrorIs(s, a.reason(), context.DeadlineExceeded)
		b.leave()
		time.Sleep(time.Hour)
		a.follows(1)
		p.hangs.Store(false)
		close(p.wakes)
		time.Sleep(time.Minute)
		a.leads(2)
		a.leave()
	})
}

// TestWhoFellIllWhileWaitingNeverLeads elects a candidate that was healthy when it began to wait.
func TestWhoFellIllWhileWaitingNeverLeads(t *testing.T) {
	play(t, func(s *scene) {
		a := s.candidate("a", nil).run()
		b, p := s.patient("b")
		b.run()
		c := s.candidate("c", nil).run()
		require.EqualValues(s, 1, p.asked.Load())
		time.Sleep(time.Hour)
		p.ill.Store(true)
		a.leave()
		b.follows(0)
		assert.ErrorIs(s, b.IsLeader(s.Context()), errTest)
		c.leads(1)
		c.leave()
		b.leave()
	})
}
