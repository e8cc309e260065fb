package leaderelect_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/sqllock/toolkit/leaderelect"
	"github.com/sqllock/toolkit/sqllock"
)

// Schedulers ask before each job, and nobody may have told the elector yet.
func TestWhoAsksAfterASilentLossIsToldOfIt(t *testing.T) {
	play(t, func(s *scene) {
		a := s.candidate("a", nil).run()
		time.Sleep(time.Minute)
		a.leads(1)
		s.db.lose("election", sqllock.ErrExpired, false)
		err := a.IsLeader(s.Context())
		assert.ErrorIs(s, err, leaderelect.ErrNotLeader)
		assert.ErrorIs(s, err, sqllock.ErrExpired)
		a.leave()
	})
}

func TestLossBeforeTheTermBeginsElectsNobody(t *testing.T) {
	play(t, func(s *scene) {
		asked := 0
		a := s.candidate("a", func(c *leaderelect.Config) {
			c.Health = func(context.Context) error {
				if asked++; asked == 2 { // it has the lock, and does not lead yet
					s.db.lose("election", sqllock.ErrExpired, false)
				}
				return nil
			}
		}).run()
		time.Sleep(time.Minute)
		a.leads(1) // by another lock
		assert.EqualValues(s, 1, a.Stats().Failures)
		a.leave()
	})
}
