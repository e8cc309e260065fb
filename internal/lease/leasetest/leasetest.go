// Package leasetest checks what the statements of a lock table say about rows that another process has changed: claims about the tables that
// docs/leases.md describes, and not about backends in general, which package locktest is for.
package leasetest

import (
	"context"
	"database/sql"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sqllock/toolkit/sqllock"
)

// patience is for what takes milliseconds, on a machine that is busy with something else.
const patience = 20 * time.Second

// Table is a new database with the tables in it.
type Table struct {
	DB *sql.DB
	// Backend makes another backend for them, in a namespace. Nothing may be polled for or pushed within seconds.
	Backend func(namespace string) sqllock.Backend
}

// Run checks each claim in a subtest with tables of its own.
func Run(t *testing.T, fresh func(t *testing.T) Table) {
	for name, check := range map[string]func(*scene){
		"RenewalOfAnExpiredSessionRenewsNothing": renewalOfAnExpiredSessionRenewsNothing,
		"AttemptOfAnExpiredSessionGrantsNothing": attemptOfAnExpiredSessionGrantsNothing,
		"AttemptOfAnotherEpochGrantsNothing":     attemptOfAnotherEpochGrantsNothing,
		"DeadReaderDoesNotTakeTheLivingAlong":    deadReaderDoesNotTakeTheLivingAlong,
		"WhoCameLaterStandsBehindWhoWaits":       whoCameLaterStandsBehindWhoWaits,
		"FirstOfTwoReadersHoldsOn":               firstOfTwoReadersHoldsOn,
		"NamespacesAreApart":                     namespacesAreApart,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			check(&scene{t, fresh(t)})
		})
	}
}

type scene struct {
	*testing.T
	Table
}

func (s *scene) client(owner string, opts ...sqllock.ClientOption) *sqllock.Client {
	s.Helper()
	c := sqllock.New(s.Backend(""), append(opts, sqllock.Owner(owner))...)
	s.Cleanup(func() { assert.NoError(s, c.Close(context.Background())) })
	return c
}

func (s *scene) acquire(c *sqllock.Client, name string, opts ...sqllock.Option) *sqllock.Lock {
	s.Helper()
	l, err := c.TryAcquire(s.Context(), name, opts...)
	require.NoError(s, err)
	return l
}

func (s *scene) exec(query string) {
	s.Helper()
	_, err := s.DB.ExecContext(s.Context(), query)
	require.NoError(s, err, query)
}

func (s *scene) int(query string) (n int) {
	s.Helper()
	require.NoError(s, s.DB.QueryRowContext(s.Context(), query).Scan(&n), query)
	return n
}

// expire lets a session's time run out, as if its process had been stopped for so long.
func (s *scene) expire(owner string) {
	s.Helper()
	s.exec("UPDATE sqllock_sessions SET expires_at = opened_at WHERE owner = '" + owner + "'")
}

// Others may have looked at it meanwhile, and have relied on what they saw.
func renewalOfAnExpiredSessionRenewsNothing(s *scene) {
	l := s.acquire(s.client("a", sqllock.TTL(6*time.Second)), "n")
	s.expire("a")
	select {
	case <-l.Done():
		assert.ErrorIs(s, l.Err(), sqllock.ErrLost)
		assert.NotErrorIs(s, l.Err(), sqllock.ErrExpired, "the database has said so, before the clock did")
	case <-time.After(patience):
		assert.Fail(s, "it is renewed")
	}
}

// attempts are the ways to be granted what is free: one name, which may have statements of its own, and several.
var attempts = [][]string{{"m"}, {"x", "y"}}

func (s *scene) acquireAll(c *sqllock.Client, names []string) *sqllock.Set {
	s.Helper()
	set, err := c.AcquireAll(s.Context(), names, sqllock.Wait(0))
	require.NoError(s, err)
	return set
}

func attemptOfAnExpiredSessionGrantsNothing(s *scene) {
	for _, names := range attempts {
		c := s.client("of "+names[0], sqllock.TTL(time.Hour))
		require.NoError(s, s.acquireAll(c, names).Release(s.Context())) // so that the names are there
		s.acquire(c, "held by "+names[0])
		s.expire("of " + names[0])
		for _, l := range s.acquireAll(c, names).Locks() {
			assert.NoError(s, l.Verify(s.Context()), "it is granted to another session, which lives")
		}
	}
}

// An epoch that is not the session's says that it has reconciled, or has to. At first it may see that by itself, when it begins to listen.
func attemptOfAnotherEpochGrantsNothing(s *scene) {
	c := s.client("a", sqllock.TTL(time.Hour))
	l := s.acquire(c, "n")
	for range 10 {
		for _, names := range attempts {
			require.NoError(s, s.acquireAll(c, names).Release(s.Context()))
			s.exec("UPDATE sqllock_sessions SET epoch = epoch + 10")
			before := s.int("SELECT epoch FROM sqllock_sessions")
			set := s.acquireAll(c, names)
			require.Greater(s, s.int("SELECT epoch FROM sqllock_sessions"), before, "it has reconciled before it was granted anything")
			require.NoError(s, l.Verify(s.Context()))
			require.NoError(s, set.Release(s.Context()))
		}
	}
	require.NoError(s, l.Release(s.Context()))
}

func deadReaderDoesNotTakeTheLivingAlong(s *scene) {
	dead, living, writer := s.client("dead", sqllock.TTL(time.Hour)), s.client("living"), s.client("writer")
	s.acquire(dead, "n", sqllock.Shared())
	reader := s.acquire(living, "n", sqllock.Shared())
	s.expire("dead")
	for range 2 {
		_, err := writer.TryAcquire(s.Context(), "n")
		require.ErrorIs(s, err, sqllock.ErrNotAcquired)
		require.NoError(s, reader.Verify(s.Context()))
	}
	require.NoError(s, reader.Release(s.Context()))
	require.NoError(s, s.acquire(writer, "n").Release(s.Context()))
}

func whoCameLaterStandsBehindWhoWaits(s *scene) {
	c, waiter := s.client("a"), s.client("waiter")
	s.acquire(waiter, "something else")
	require.NoError(s, s.acquire(c, "n").Release(s.Context()))
	s.exec(`INSERT INTO sqllock_waiters (resource, session, mode, permits, since)
		SELECT (SELECT MAX(id) FROM sqllock_resources), id, 'x', 0, opened_at FROM sqllock_sessions WHERE owner = 'waiter'`)
	for range 2 {
		_, err := c.TryAcquire(s.Context(), "n")
		require.ErrorIs(s, err, sqllock.ErrNotAcquired)
	}
	ctx, cancel := context.WithTimeout(s.Context(), time.Second)
	defer cancel()
	_, err := c.Acquire(ctx, "n") // and waits, but came later
	require.ErrorIs(s, err, sqllock.ErrNotAcquired)
	s.exec("DELETE FROM sqllock_waiters")
	require.NoError(s, s.acquire(c, "n").Release(s.Context()))
}

// The latest grant of a name is not its only one.
func firstOfTwoReadersHoldsOn(s *scene) {
	a, b, writer := s.client("a"), s.client("b"), s.client("writer")
	for _, mode := range []sqllock.Option{sqllock.Shared(), sqllock.Permits(2)} {
		first, second := s.acquire(a, "n", mode), s.acquire(b, "n", mode)
		require.NoError(s, second.Release(s.Context()))
		_, err := writer.TryAcquire(s.Context(), "n")
		require.ErrorIs(s, err, sqllock.ErrNotAcquired)
		require.NoError(s, first.Release(s.Context()))
		require.NoError(s, s.acquire(writer, "n").Release(s.Context()))
	}
}

func namespacesAreApart(s *scene) {
	here := s.acquire(s.client("here"), "n")
	c := sqllock.New(s.Backend("elsewhere"))
	defer func() { assert.NoError(s, c.Close(context.Background())) }()
	there := s.acquire(c, "n")
	infos, err := c.Locks(s.Context())
	require.NoError(s, err)
	assert.Len(s, infos, 1)
	require.NoError(s, c.ForceRelease(s.Context(), "n"))
	require.ErrorIs(s, there.Verify(s.Context()), sqllock.ErrLost)
	require.NoError(s, here.Verify(s.Context()))
	require.NoError(s, here.Release(s.Context()))
}
