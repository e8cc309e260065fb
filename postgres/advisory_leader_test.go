package postgres_test

import (
	"context"
	"fmt"
	"math"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sqllock/toolkit/internal/testdb"
	"github.com/sqllock/toolkit/postgres"
	"github.com/sqllock/toolkit/sqllock"
)

// value is something to publish.
func value(of string) map[string]string { return map[string]string{"address": of} }

func (s *scene) leads(name, of string) sqllock.Leader {
	s.Helper()
	leader, err := s.eyes.Leader(s.Context(), name)
	require.NoError(s, err)
	require.Equal(s, value(of), leader.Value)
	return leader
}

func (s *scene) nobodyLeads(name string) {
	s.Helper()
	leader, err := s.eyes.Leader(s.Context(), name)
	require.ErrorIs(s, err, sqllock.ErrNoLeader, "%+v", leader)
}

func TestAdvisoryPublishesInTheToolkitsTables(t *testing.T) {
	t.Parallel()
	bare := sceneAt(t, testdb.Postgres(t))
	l := bare.acquire(bare.client(), "n")
	for _, err := range []error{l.Publish(t.Context(), value("here")), func() error { _, err := bare.eyes.Leader(t.Context(), "n"); return err }()} {
		require.ErrorIs(t, err, sqllock.ErrUnsupported)
		assert.ErrorContains(t, err, "sqllock migrate up")
	}
	require.NoError(t, l.Verify(t.Context()))
	bare.release(l)
	bare.onlySessionsLeft()

	s := newScene(t)
	holder := s.named("the holder")
	l = s.acquire(holder, "n")
	require.NoError(t, l.Publish(t.Context(), value("here")))
	leader := s.leads("n", "here")
	assert.Equal(t, "the holder", leader.Owner)
	assert.Equal(t, l.Token(), leader.Token)
	assert.NotZero(t, leader.Token)
	_, err := s.client(postgres.Namespace("another")).Leader(t.Context(), "n")
	require.ErrorIs(t, err, sqllock.ErrNoLeader)
	s.release(l)
	s.nobodyLeads("n")
	s.onlySessionsLeft()
}

// TestAdvisoryLeaderEndsWithItsSession leaves the row of a leader whose session is ended where it was.
func TestAdvisoryLeaderEndsWithItsSession(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	l := s.acquire(s.client(), "n")
	require.NoError(t, l.Publish(t.Context(), value("dead")))
	s.terminate(s.sessionOf("n", false))
	s.eventually(func() bool { return len(s.infos("n")) == 0 }, "the key is free")
	s.nobodyLeads("n")
	require.EqualValues(t, 1, s.int("SELECT count(*) FROM sqllock_leaders"))
	s.ends(l)

	next := s.acquire(s.client(), "n")
	s.nobodyLeads("n")
	require.NoError(t, next.Publish(t.Context(), value("alive")))
	require.ErrorIs(t, l.Publish(t.Context(), value("dead")), sqllock.ErrLost)
	s.leads("n", "alive")
}

// TestAdvisoryPublishIsGuarded ends the session of a leader while it publishes. Until that is over nobody else is granted the lock, so the
// row of the next leader cannot be overwritten by it.
func TestAdvisoryPublishIsGuarded(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	ctx := t.Context()
	l := s.acquire(s.client(), "n")
	require.NoError(t, l.Publish(ctx, value("first")))
	row := s.session()
	tx, err := row.Begin(ctx)
	require.NoError(t, err)
	_, err = tx.Exec(ctx, "SELECT FROM sqllock_leaders FOR UPDATE")
	require.NoError(t, err)
	published := make(chan error, 1)
	go func() { published <- l.Publish(ctx, value("second")) }()
	const waits = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
	s.eventually(func() bool { return s.int(waits) == 1 }, "the writing waits for the row")

	s.terminate(s.sessionOf("n", false))
	s.ends(l)
	waiter, other := s.client(), s.client()
	got := s.waits(waiter, "n")
	for range 20 {
		s.refused(other, "n")
	}
	assert.Empty(t, got, "granted while the former leader publishes")
	require.NoError(t, tx.Rollback(ctx))
	if err := <-published; err != nil { // it may have heard of the loss, or not
		assert.ErrorIs(t, err, sqllock.ErrLost)
	}
	next := s.granted(got, 0)
	s.nobodyLeads("n")
	require.NoError(t, next.Publish(ctx, value("third")))
	s.leads("n", "third")
	s.release(next)
}

// TestAdvisoryPublishNeverReplacesALargerToken has tokens go back, as a server that was restored from a backup may.
func TestAdvisoryPublishNeverReplacesALargerToken(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	l := s.acquire(s.client(), "n")
	require.NoError(t, l.Publish(t.Context(), value("before")))
	s.exec("UPDATE sqllock_leaders SET token = $1", int64(math.MaxInt64))
	err := l.Publish(t.Context(), value("after"))
	require.ErrorContains(t, err, "tokens have gone back")
	require.NotErrorIs(t, err, sqllock.ErrLost, "it is held, and has to be released")
	s.leads("n", "before")
	s.release(l)
	s.onlySessionsLeft()
}

func TestAdvisoryLeadersWithoutTokensReplaceEachOther(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	l := s.acquire(s.client(), "n")
	require.NoError(t, l.Publish(t.Context(), value("with")))
	s.release(l)
	s.exec("DROP SEQUENCE sqllock_token")
	l = s.acquire(s.client(), "n")
	require.Zero(t, l.Token())
	require.NoError(t, l.Publish(t.Context(), value("without")))
	assert.Zero(t, s.leads("n", "without").Token)
	s.release(l)
}

func TestAdvisoryReadersPublishNothing(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	c := s.client()
	for _, opt := range []sqllock.Option{sqllock.Shared(), sqllock.Permits(2)} {
		l := s.acquire(c, "n", opt)
		require.ErrorIs(t, l.Publish(t.Context(), value("nobody's")), sqllock.ErrUnsupported)
		s.release(l)
	}
	s.nobodyLeads("n")
	s.onlySessionsLeft()
}

// TestAdvisoryPublishingCostsOneLock publishes again and again, and in every way in which a lock can end.
func TestAdvisoryPublishingCostsOneLock(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	ctx := t.Context()
	c := s.client(postgres.MaxLocks(4))
	set, err := c.AcquireAll(ctx, []string{"a", "b"})
	require.NoError(t, err)
	for _, l := range set.Locks() {
		for range 3 {
			require.NoError(t, l.Publish(ctx, value(l.Name())))
		}
	}
	_, err = c.TryAcquire(ctx, "c")
	require.ErrorIs(t, err, sqllock.ErrTooMany)
	require.NoError(t, set.Release(ctx))
	s.onlySessionsLeft()

	all, err := c.AcquireAll(ctx, []string{"a", "b", "c", "d"})
	require.NoError(t, err)
	err = all.Locks()[0].Publish(ctx, value("one too many"))
	require.ErrorIs(t, err, sqllock.ErrTooMany)
	require.NotErrorIs(t, err, sqllock.ErrLost)
	require.NoError(t, all.Release(ctx))

	l := s.acquire(c, "a")
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	require.ErrorIs(t, l.Publish(cancelled, value("nowhere")), context.Canceled)
	require.NoError(t, l.Publish(ctx, value("forced")))
	require.NoError(t, s.eyes.ForceRelease(ctx, "a"))
	s.ends(l)
	s.onlySessionsLeft()
	s.nobodyLeads("a")
}

func TestAdvisoryLeaderIsNotAskedOfAStandby(t *testing.T) {
	t.Parallel()
	server := testdb.StartPostgres(t)
	migrate(t, server.DSN())
	s := sceneAt(t, server.DSN())
	l := s.acquire(s.client(), "n")
	require.NoError(t, l.Publish(t.Context(), value("primary")))
	standby := sceneAt(t, server.Replica().DSN())
	_, err := standby.eyes.Leader(t.Context(), "n")
	require.ErrorIs(t, err, sqllock.ErrRefused)
	require.NotErrorIs(t, err, sqllock.ErrNoLeader)
	s.release(l)
}

// TestAdvisoryLeadersAreSeenInOrder has Clients lead in turn, as fast as they can, while others look: what they see is what the one with that token has
// published, and never goes back.
func TestAdvisoryLeadersAreSeenInOrder(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var observers sync.WaitGroup
	for range 2 {
		observers.Go(func() {
			var last int64
			for ctx.Err() == nil {
				leader, err := s.eyes.Leader(t.Context(), "n")
				if err != nil {
					assert.ErrorIs(t, err, sqllock.ErrNoLeader)
					continue
				}
				assert.GreaterOrEqual(t, leader.Token, last)
				assert.Equal(t, value(fmt.Sprintf("%s %d", leader.Owner, leader.Token)), leader.Value)
				last = leader.Token
			}
		})
	}
	const rounds = 50
	var candidates sync.WaitGroup
	for i := range 3 {
		c := s.named(fmt.Sprint("candidate ", i))
		candidates.Go(func() {
			for range rounds {
				l, err := c.Acquire(t.Context(), "n")
				if !assert.NoError(t, err) {
					return
				}
				assert.NoError(t, l.Publish(t.Context(), value(fmt.Sprintf("candidate %d %d", i, l.Token()))))
				assert.NoError(t, l.Release(t.Context()))
			}
		})
	}
	candidates.Wait()
	stop()
	observers.Wait()
	s.onlySessionsLeft()
}
