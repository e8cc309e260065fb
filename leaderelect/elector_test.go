package leaderelect_test

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sqllock/toolkit/leaderelect"
	"github.com/sqllock/toolkit/sqllock"
)

var errTest = errors.New("a failure")

func TestResignHandsOverAtOnce(t *testing.T) {
	play(t, func(s *scene) {
		a, b := s.candidate("a", nil).run(), s.candidate("b", nil).run()
		a.leads(1)
		b.follows(0)
		assert.Equal(s, "a 1 of a", s.address(b))

		before := time.Now()
		require.NoError(s, a.Resign(s.Context()))
		b.leads(1)
		assert.Zero(s, time.Since(before), "nothing was waited for")
		a.follows(1)
		assert.ErrorIs(s, a.reason(), leaderelect.ErrResigned)
		assert.Equal(s, "b 2 of b", s.address(a))
		assert.Greater(s, b.terms[0].Token, a.terms[0].Token)
		a.leave()
		b.leave()
		assert.False(s, s.db.held("election"))
	})
}

func TestResignWaitsForOnElected(t *testing.T) {
	play(t, func(s *scene) {
		let := make(chan struct{})
		a := s.candidate("a", func(c *leaderelect.Config) {
			c.OnElected = func(context.Context, leaderelect.Term) error {
				<-let // whatever its context says
				return nil
			}
		}).run()
		b := s.candidate("b", nil).run()
		ctx, cancel := context.WithTimeout(s.Context(), time.Minute)
		defer cancel()
		require.ErrorIs(s, a.Resign(ctx), context.DeadlineExceeded)
		a.follows(1)
		assert.True(s, a.terms[0].Valid(), "nobody else can be elected yet")
		b.follows(0)
		close(let)
		require.NoError(s, a.Resign(s.Context()))
		b.leads(1)
		a.leave()
		b.leave()
	})
}

func TestWhoResignedStandsBack(t *testing.T) {
	play(t, func(s *scene) {
		a := s.candidate("a", func(c *leaderelect.Config) { c.StandBack = time.Minute }).run()
		a.leads(1)
		require.NoError(s, a.Resign(s.Context()))
		require.NoError(s, a.Resign(s.Context()), "there is no term to end")
		time.Sleep(time.Minute - 1)
		a.follows(1)
		b := s.candidate("b", nil).run()
		b.leads(1)
		time.Sleep(time.Hour)
		a.follows(1)
		b.leave()
		a.leads(2)
		require.NoError(s, a.Resign(s.Context()))
		time.Sleep(time.Minute)
		a.leads(3) // for want of anybody else
		a.leave()
	})
}

func TestReturningEndsTheTerm(t *testing.T) {
	play(t, func(s *scene) {
		var inner context.Context
		a := s.candidate("a", func(c *leaderelect.Config) {
			c.StandBack = time.Minute
			c.OnElected = func(ctx context.Context, _ leaderelect.Term) error {
				inner = ctx
				return nil
			}
		}).run()
		a.follows(1)
		assert.NoError(s, a.reason())
		assert.Error(s, inner.Err(), "what it left running is told")
		assert.False(s, s.db.held("election"))
		time.Sleep(time.Minute)
		a.follows(2)
		assert.Zero(s, a.Stats().Failures)
		a.leave()
	})
}

// TestFailuresBackOff has all terms fail but the eighth.
func TestFailuresBackOff(t *testing.T) {
	play(t, func(s *scene) {
		terms := 0
		a := s.candidate("a", func(c *leaderelect.Config) {
			c.StandBack, c.MaxBackoff = time.Millisecond, time.Second
			c.OnElected = func(context.Context, leaderelect.Term) error {
				if terms++; terms == 8 {
					return nil
				}
				return errTest
			}
		}).run()
		require.ErrorIs(s, a.reason(), errTest)
		require.ErrorIs(s, a.IsLeader(s.Context()), errTest)
		time.Sleep(10 * time.Second)
		a.leave()
		for i, most := range []time.Duration{100, 200, 400, 800, 1000, 1000, 1000, 1, 100, 200} {
			most *= time.Millisecond
			least := most / 2
			if i == 7 {
				least = most // to stand back
			}
			pause := a.elected[i+1].Sub(a.elected[i])
			assert.LessOrEqual(s, least, pause, "after term %d", i+1)
			assert.GreaterOrEqual(s, most, pause, "after term %d", i+1)
		}
		assert.Equal(s, a.Stats().Terms-1, a.Stats().Failures)
	})
}

// TestLongTermsAreGoodOnes has the lock lost after failures: who has led for long begins with the shortest pause.
func TestLongTermsAreGoodOnes(t *testing.T) {
	play(t, func(s *scene) {
		s.db.fails(errTest)
		a := s.candidate("a", func(c *leaderelect.Config) { c.MaxBackoff = time.Minute }).run()
		time.Sleep(time.Hour)
		a.follows(0)
		assert.GreaterOrEqual(s, a.Stats().Failures, int64(60))
		assert.ErrorIs(s, a.IsLeader(s.Context()), errTest)
		s.db.fails(nil)
		time.Sleep(time.Minute)
		a.leads(1)
		time.Sleep(time.Minute)
		s.db.lose("election", sqllock.ErrExpired, true)
		a.follows(1)
		time.Sleep(100 * time.Millisecond)
		a.leads(2)
		a.leave()
	})
}

func TestLossEndsTheTerm(t *testing.T) {
	play(t, func(s *scene) {
		var cause error
		a := s.candidate("a", func(c *leaderelect.Config) {
			c.OnElected = func(ctx context.Context, _ leaderelect.Term) error {
				<-ctx.Done()
				cause = context.Cause(ctx)
				return ctx.Err()
			}
		}).run()
		b := s.candidate("b", nil).run()
		s.db.lose("election", sqllock.ErrForced, true)
		b.leads(1)
		a.follows(1)
		for _, err := range []error{cause, a.reason(), a.IsLeader(s.Context())} {
			assert.ErrorIs(s, err, sqllock.ErrLost)
			assert.ErrorIs(s, err, sqllock.ErrForced)
			assert.NotErrorIs(s, err, context.Canceled, "what OnElected says of its context is nothing new")
		}
		assert.EqualValues(s, 1, a.Stats().Losses)
		assert.EqualValues(s, 1, a.Stats().Failures)
		b.leave()
		time.Sleep(time.Second)
		a.leads(2)
		a.leave()
	})
}

// TestLossIsSeenBeforeAnybodyIsTold has the lock end as it does for a process that was stopped: nothing has run that could tell.
func TestLossIsSeenBeforeAnybodyIsTold(t *testing.T) {
	play(t, func(s *scene) {
		looks := make(chan struct{})
		valid := make(chan bool, 2)
		a := s.candidate("a", func(c *leaderelect.Config) {
			c.OnElected = func(ctx context.Context, term leaderelect.Term) error {
				valid <- term.Valid() && ctx.Err() == nil
				<-looks
				early := ctx.Err() == nil
				valid <- early && !term.Valid()
				return nil
			}
		}).run()
		assert.True(s, <-valid)
		s.db.lose("election", sqllock.ErrExpired, false)
		close(looks)
		assert.True(s, <-valid, "Valid says no, although the context has not ended")
		a.follows(1)
		assert.ErrorIs(s, a.reason(), sqllock.ErrExpired)
		assert.EqualValues(s, 1, a.Stats().Losses)
		a.leave()
	})
}

// TestLossThatReleaseMeets has the lock end unnoticed until it is released.
func TestLossThatReleaseMeets(t *testing.T) {
	play(t, func(s *scene) {
		a := s.candidate("a", func(c *leaderelect.Config) {
			c.OnElected = func(context.Context, leaderelect.Term) error {
				s.db.lose("election", sqllock.ErrExpired, false)
				panic(errTest) // so that nobody looks before
			}
		})
		require.PanicsWithValue(s, errTest, func() { _ = a.Run(s.Context()) })
		assert.ErrorIs(s, a.reason(), leaderelect.ErrPanicked)
		assert.ErrorIs(s, a.reason(), sqllock.ErrExpired)
	})
}

func TestNobodyCampaignsBeforeOnElectedHasReturned(t *testing.T) {
	play(t, func(s *scene) {
		let := make(chan struct{})
		a := s.candidate("a", func(c *leaderelect.Config) {
			c.OnElected = func(context.Context, leaderelect.Term) error {
				<-let
				return nil
			}
		}).run()
		s.db.lose("election", sqllock.ErrExpired, true)
		time.Sleep(time.Hour)
		a.follows(1)
		assert.False(s, s.db.held("election"))
		close(let)
		time.Sleep(time.Second)
		synctest.Wait()
		assert.Equal(s, 2, a.count())
		a.leave()
	})
}

func TestPanicReleases(t *testing.T) {
	for name, end := range map[string]func(){"Panic": func() { panic(errTest) }, "Goexit": runtime.Goexit} {
		t.Run(name, func(t *testing.T) {
			play(t, func(s *scene) {
				let := make(chan struct{})
				a := s.candidate("a", func(c *leaderelect.Config) {
					c.OnLeaderChange = func(leaderelect.Leader) {}
					c.OnElected = func(context.Context, leaderelect.Term) error {
						<-let
						end()
						return nil
					}
				})
				recovered := make(chan any, 1)
				go func() {
					defer func() { recovered <- recover() }()
					_ = a.Run(s.Context())
				}()
				synctest.Wait()
				b := s.candidate("b", nil).run()
				close(let)
				b.leads(1)
				if got := <-recovered; name == "Panic" {
					assert.Equal(s, errTest, got)
				} else {
					assert.Nil(s, got)
				}
				assert.ErrorIs(s, a.reason(), leaderelect.ErrPanicked)
				b.leave()
			})
		})
	}
}

func TestRunEndsGracefully(t *testing.T) {
	play(t, func(s *scene) {
		var cause error
		a := s.candidate("a", func(c *leaderelect.Config) {
			c.OnElected = func(ctx context.Context, _ leaderelect.Term) error {
				<-ctx.Done()
				time.Sleep(time.Second) // it tidies up
				cause = context.Cause(ctx)
				return cause
			}
		}).run()
		b := s.candidate("b", nil).run()
		a.stop(errTest)
		a.follows(1)
		b.follows(0)
		time.Sleep(time.Second)
		b.leads(1)
		require.NoError(s, a.ends())
		assert.Equal(s, errTest, cause)
		assert.Equal(s, errTest, a.reason())
		b.leave()
	})
}

func TestRunTellsThatTheLastReleaseFailed(t *testing.T) {
	play(t, func(s *scene) {
		a := s.candidate("a", nil).run()
		s.db.failsToRelease(errTest)
		a.stop(nil)
		require.ErrorIs(s, a.ends(), errTest)

		b := s.candidate("b", nil).run()
		require.ErrorIs(s, b.Resign(s.Context()), errTest)
		synctest.Wait() // a Run that ends with the term returns its error, too
		b.leave()
	})
}

func TestOneRunAtATime(t *testing.T) {
	play(t, func(s *scene) {
		a := s.candidate("a", nil).run()
		require.ErrorIs(s, a.Run(s.Context()), leaderelect.ErrRunning)
		a.leads(1)
		a.leave()
		a.run().leads(2)
		a.leave()
	})
}

func TestClosedClientEndsRun(t *testing.T) {
	play(t, func(s *scene) {
		a, b := s.candidate("a", nil).run(), s.candidate("b", nil).run()
		require.NoError(s, b.locks.Close(s.Context()))
		time.Sleep(time.Minute)
		require.NoError(s, a.locks.Close(s.Context()))
		a.follows(1)
		assert.ErrorIs(s, a.reason(), sqllock.ErrClosed)
		require.ErrorIs(s, a.ends(), sqllock.ErrClosed)
		b.stop(nil)
	})
}

// TestErrorsOfOnElectedAreItsOwn has it return what other locks, and other Clients, have met.
func TestErrorsOfOnElectedAreItsOwn(t *testing.T) {
	for _, err := range []error{sqllock.ErrUnsupported, sqllock.ErrClosed, &sqllock.LostError{Name: "another", Reason: sqllock.ErrForced}} {
		t.Run(err.Error(), func(t *testing.T) {
			play(t, func(s *scene) {
				a := s.candidate("a", func(c *leaderelect.Config) {
					c.OnElected = func(context.Context, leaderelect.Term) error { return err }
				}).run()
				time.Sleep(time.Minute)
				assert.Greater(s, a.count(), 1)
				assert.ErrorIs(s, a.reason(), err)
				assert.Zero(s, a.Stats().Losses)
				a.stop(sqllock.ErrClosed)
				require.NoError(s, a.ends())
			})
		})
	}
}

// TestClientsDefaultsDoNotBoundCampaigns has a Client that makes single attempts unless it is told to wait.
func TestClientsDefaultsDoNotBoundCampaigns(t *testing.T) {
	play(t, func(s *scene) {
		a := s.candidate("a", nil).run()
		locks := sqllock.New(s.db, sqllock.Owner("b"), sqllock.Wait(0))
		b, err := leaderelect.New(locks, "election", leaderelect.Config{})
		require.NoError(s, err)
		ctx, cancel := context.WithCancel(s.Context())
		ended := make(chan error, 1)
		go func() { ended <- b.Run(ctx) }()
		time.Sleep(24 * time.Hour)
		assert.Zero(s, b.Stats().Failures)
		a.leave()
		synctest.Wait()
		assert.NoError(s, b.IsLeader(ctx))
		cancel()
		require.NoError(s, <-ended)
		require.NoError(s, locks.Close(s.Context()))
	})
}

func TestValueThatCannotBePublishedEndsRun(t *testing.T) {
	play(t, func(s *scene) {
		s.db.metadata, s.db.unpublished = false, sqllock.ErrUnsupported
		a := s.candidate("a", nil).run()
		require.ErrorIs(s, a.ends(), sqllock.ErrUnsupported)
		a.follows(0)
		assert.False(s, s.db.held("election"))

		b := s.candidate("b", func(c *leaderelect.Config) {
			c.Value = nil
			c.OnLeaderChange = func(leaderelect.Leader) {}
		}).run()
		require.ErrorIs(s, b.ends(), sqllock.ErrUnsupported)
		assert.False(s, s.db.held("election"))
	})
}

func TestElectionNeedsNoPlaceToPublish(t *testing.T) {
	play(t, func(s *scene) {
		s.db.metadata, s.db.unpublished = false, sqllock.ErrUnsupported
		a := s.candidate("a", func(c *leaderelect.Config) { c.Value = nil }).run()
		a.leads(1)
		_, err := a.Leader(s.Context())
		require.ErrorIs(s, err, sqllock.ErrUnsupported)
		a.leave()
	})
}

func TestNobodyLeadsUnpublished(t *testing.T) {
	play(t, func(s *scene) {
		s.db.metadata, s.db.unpublished = false, errTest
		a := s.candidate("a", nil).run()
		time.Sleep(time.Minute)
		a.follows(0)
		assert.NotZero(s, a.Stats().Failures)
		require.ErrorIs(s, a.IsLeader(s.Context()), errTest)
		s.db.mu.Lock()
		s.db.unpublished = nil
		s.db.mu.Unlock()
		time.Sleep(time.Minute)
		a.leads(1)
		l, err := a.Leader(s.Context())
		require.NoError(s, err)
		assert.Equal(s, map[string]string{"address": "of a"}, l.Value)
		a.leave()
	})
}

// TestResignBeforeTheTermBegins resigns between the grant of the lock and the call of OnElected.
func TestResignBeforeTheTermBegins(t *testing.T) {
	play(t, func(s *scene) {
		checks := make(chan struct{})
		asked := 0
		a := s.candidate("a", func(c *leaderelect.Config) {
			c.Health = func(ctx context.Context) error {
				if asked++; asked == 2 {
					close(checks)
					<-ctx.Done()
				}
				return nil
			}
		})
		a.run()
		<-checks
		a.follows(0)
		require.NoError(s, a.Resign(s.Context()))
		a.follows(0)
		assert.ErrorIs(s, a.IsLeader(s.Context()), leaderelect.ErrResigned)
		assert.Zero(s, a.Stats().Failures)
		assert.False(s, s.db.held("election"))
		time.Sleep(time.Minute)
		a.leads(1)
		a.leave()
	})
}

// scheduler is what gocron asks of an elector.
type scheduler interface {
	IsLeader(ctx context.Context) error
}

var _ scheduler = (*leaderelect.Elector)(nil)

func TestElectorWithoutCallbacksOnlyLeads(t *testing.T) {
	play(t, func(s *scene) {
		locks := sqllock.New(s.db)
		e, err := leaderelect.New(locks, "election", leaderelect.Config{ID: "the scheduler"})
		require.NoError(s, err)
		require.ErrorIs(s, e.IsLeader(s.Context()), leaderelect.ErrNotLeader)
		ctx, cancel := context.WithCancel(s.Context())
		ended := make(chan error, 1)
		go func() { ended <- e.Run(ctx) }()
		synctest.Wait()
		require.NoError(s, e.IsLeader(s.Context()))
		l, err := e.Leader(s.Context())
		require.NoError(s, err)
		assert.Equal(s, "the scheduler", l.ID)
		assert.Empty(s, l.Value)
		cancel()
		require.NoError(s, <-ended)
		require.NoError(s, locks.Close(s.Context()))
	})
}

func TestInvalidConfigurationsAreRefused(t *testing.T) {
	t.Parallel()
	locks := sqllock.New(newFakeDatabase())
	for what, cfg := range map[string]leaderelect.Config{
		"negative interval":   {HealthInterval: -1},
		"too short interval":  {HealthInterval: time.Microsecond},
		"too long interval":   {HealthInterval: 2 * time.Hour},
		"negative stand-back": {StandBack: -time.Second},
		"too long stand-back": {StandBack: 25 * time.Hour},
		"too short back-off":  {MaxBackoff: 1},
		"too long back-off":   {MaxBackoff: 2 * time.Hour},
		"too short look":      {ObserveInterval: 999 * time.Microsecond},
		"too long look":       {ObserveInterval: 2 * time.Hour},
		"large ID":            {ID: strings.Repeat("x", sqllock.MaxName+1)},
		"ID of no text":       {ID: "\xff"},
		"value of no text":    {Value: map[string]string{"a": "b\x00"}},
		"key of no text":      {Value: map[string]string{"\xff": ""}},
		"reserved key":        {Value: map[string]string{"sqllock.id": "me"}},
		"large value":         {ID: "x", Value: map[string]string{"k": strings.Repeat("x", sqllock.MaxMetadata-1)}},
	} {
		e, err := leaderelect.New(locks, "election", cfg)
		require.ErrorIs(t, err, sqllock.ErrInvalid, what)
		assert.Nil(t, e)
	}
	_, err := leaderelect.New(locks, "", leaderelect.Config{})
	require.ErrorIs(t, err, sqllock.ErrInvalid)
	_, err = leaderelect.New(nil, "election", leaderelect.Config{})
	require.ErrorIs(t, err, sqllock.ErrInvalid)
	var zero leaderelect.Term
	assert.False(t, zero.Valid())
}
