package postgres_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sqllock/toolkit/internal/testdb"
	"github.com/sqllock/toolkit/postgres"
	internal "github.com/sqllock/toolkit/postgres/internal/advisory"
	"github.com/sqllock/toolkit/sqllock"
)

// shiftedClock goes on by itself, and by what it is told. Its timers do not see that, as those of a machine that was suspended.
type shiftedClock struct{ by atomic.Int64 }

func (c *shiftedClock) shift(d time.Duration) { c.by.Add(int64(d)) }

func (c *shiftedClock) Now() time.Duration {
	return sqllock.SystemClock.Now() + time.Duration(c.by.Load())
}

func (c *shiftedClock) AfterFunc(d time.Duration, f func()) sqllock.Timer {
	return sqllock.SystemClock.AfterFunc(d, f)
}

// The session timeout of a Client that is far away is such that nothing happens by itself while a test runs. It gives up after 32 minutes.
const longTimeout = time.Hour

func (s *scene) farAway() (*sqllock.Client, *testdb.Latency, *shiftedClock) {
	s.Helper()
	cfg, err := pgxpool.ParseConfig(s.dsn)
	require.NoError(s, err)
	slow, clock := testdb.NewLatency(), new(shiftedClock)
	cfg.BeforeConnect = func(_ context.Context, cc *pgx.ConnConfig) error {
		if cc.RuntimeParams["application_name"] != "" { // the session, and not the application's connections
			cc.DialFunc = slow.Dial
		}
		return nil
	}
	pool, err := pgxpool.NewWithConfig(s.Context(), cfg)
	require.NoError(s, err)
	s.Cleanup(pool.Close)
	c := sqllock.New(postgres.Advisory(pool, postgres.SessionTimeout(longTimeout)), sqllock.WithClock(clock))
	s.Cleanup(func() {
		slow.End()
		assert.NoError(s, c.Close(context.Background()))
	})
	return c, slow, clock
}

// What the server counts begins when it hears of us, so what we count begins before that.
func TestAdvisorySilenceIsCountedFromTheSendingOfWhatWasAnswered(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	c, slow, clock := s.farAway()
	l := s.acquire(c, "n")
	slow.Hold()
	verified := make(chan error, 1)
	clock.shift(20 * time.Minute)
	go func() { verified <- l.Verify(s.Context()) }()
	s.eventually(slow.Answered, "the question is answered")
	clock.shift(10 * time.Minute)
	slow.End()
	require.NoError(t, <-verified)
	clock.shift(20 * time.Minute)
	require.NoError(t, l.Err(), "30 minutes after it was sent")
	clock.shift(5 * time.Minute)
	assert.ErrorIs(t, l.Err(), sqllock.ErrLost, "35 minutes after it was sent, though 25 after it was answered")
}

// An answer that has lain unread tells nothing about now: the session may have ended, and the lock may be another's.
func TestAdvisoryAnswerThatHasLainUnreadGrantsNothing(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	c, slow, clock := s.farAway()
	held := s.acquire(c, "held")
	slow.Hold()
	tried := make(chan error, 1)
	go func() {
		_, err := c.TryAcquire(s.Context(), "n")
		tried <- err
	}()
	s.eventually(slow.Answered, "the server has granted it")
	clock.shift(33 * time.Minute)
	slow.End()
	err := <-tried
	require.Error(t, err)
	assert.NotErrorIs(t, err, sqllock.ErrNotAcquired)
	assert.ErrorIs(t, held.Err(), sqllock.ErrLost)
	s.release(s.acquire(s.client(), "n"))
}

// Closing the connection may free what it held at once.
func TestAdvisoryHoldersAreToldBeforeTheirConnectionIsClosed(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	c, slow, clock := s.farAway()
	l := s.acquire(c, "n")
	ended := make(chan bool, 10)
	slow.OnClose(func() {
		select {
		case <-l.Done():
			ended <- true
		default:
			ended <- false
		}
	})
	slow.Hold()
	go func() { _ = l.Verify(context.Background()) }()
	s.eventually(slow.Answered, "the question is answered")
	clock.shift(33 * time.Minute)
	slow.End()
	assert.True(t, <-ended, "Done is closed, and then the connection")
	slow.OnClose(func() {})
}

// A guard that is granted may commit, so it must not go by what the holder believes.
func TestAdvisoryGuardFailsThoughTheHolderDoesNotKnowThatItsSessionHasEnded(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	c, slow, _ := s.farAway()
	l := s.acquire(c, "n")
	slow.Hold()
	s.terminate(s.sessionOf("n", false))
	next := s.acquire(s.client(), "n")
	require.NoError(t, l.Err(), "it does not know")
	tx, err := s.pool.Begin(t.Context())
	require.NoError(t, err)
	assert.ErrorIs(t, postgres.Advisory(s.pool).Guard(t.Context(), tx, l), sqllock.ErrLost)
	require.NoError(t, tx.Rollback(t.Context()))
	s.release(next)
	slow.End()
}

// Who waits at the barrier looks at the session when it has passed, and not before.
func TestAdvisoryGuardThatHasWaitedLooksThen(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	c, slow, _ := s.farAway()
	l := s.acquire(c, "n")
	slow.Hold()
	next := s.session()
	barrier := internal.Barrier(internal.KeyOf("", "n"))
	_, err := next.Exec(t.Context(), "SELECT pg_advisory_lock($1::int, $2::int)", barrier[0], barrier[1])
	require.NoError(t, err)
	tx, err := s.pool.Begin(t.Context())
	require.NoError(t, err)
	guarded := make(chan error, 1)
	go func() { guarded <- postgres.Advisory(s.pool).Guard(s.Context(), tx, l) }()
	s.eventually(func() bool {
		return s.int("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted") == 1
	}, "the guard waits")
	s.terminate(s.sessionOf("n", false))
	_, err = next.Exec(t.Context(), "SELECT pg_advisory_unlock_all()")
	require.NoError(t, err)
	assert.ErrorIs(t, <-guarded, sqllock.ErrLost)
	require.NoError(t, tx.Rollback(t.Context()))
	slow.End()
}

// What a holder publishes when others hold the lock already, and it does not know, is told to nobody.
func TestAdvisoryFormerLeaderWhoDoesNotKnowPublishesNothing(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	c, slow, _ := s.farAway()
	former := s.acquire(c, "n")
	require.NoError(t, former.Publish(t.Context(), value("former")))
	slow.Hold()
	s.terminate(s.sessionOf("n", false))
	next := s.acquire(s.client(), "n")
	require.NoError(t, next.Publish(t.Context(), value("next")))
	require.NoError(t, former.Err(), "it does not know")
	published := make(chan error, 1)
	go func() { published <- former.Publish(s.Context(), value("former again")) }()
	select {
	case err := <-published:
		assert.Error(t, err)
	case <-time.After(aMoment): // it asks the session
	}
	s.leads("n", "next")
	slow.End()
	s.release(next)
}

// aMoment is long enough for a statement.
const aMoment = 500 * time.Millisecond

// A release that was not confirmed may not have happened before the session ended, and the lock may have been another's since.
func TestAdvisoryReleaseWhoseAnswerIsLostIsNoSuccess(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	c, slow, clock := s.farAway()
	l := s.acquire(c, "n")
	slow.Hold()
	released := make(chan error, 1)
	go func() { released <- l.Release(s.Context()) }()
	s.eventually(slow.Answered, "the server has released it")
	clock.shift(33 * time.Minute)
	slow.End()
	assert.Error(t, <-released)
	s.release(s.acquire(s.client(), "n"))
}

// A server that crashes forgets what it has not written to its log, which nobody waits for when a token is taken.
func TestAdvisoryTokensGrowThoughACrashTakesTheSequenceBack(t *testing.T) {
	t.Parallel()
	server := testdb.StartPostgres(t)
	migrate(t, server.DSN())
	s := sceneAt(t, server.DSN())
	s.exec("ALTER SYSTEM SET wal_writer_delay = '10s'")
	s.exec("SELECT pg_reload_conf()")
	c := s.client()
	var last int64
	for range 200 {
		l := s.acquire(c, "n")
		last = l.Token()
		s.release(l)
	}
	server.Kill()
	server.Start()
	s.eventually(func() bool { return c.Ping(t.Context()) == nil }, "the server is back")
	l := s.acquire(c, "n")
	assert.Greater(t, l.Token(), last)
	s.release(l)
}

// Until a guarded transaction has ended its holder is told nothing, and neither is the one who forces.
func TestAdvisoryForceReleaseWaitsForGuardedTransactions(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	l := s.acquire(s.client(), "n")
	tx, err := s.pool.Begin(t.Context())
	require.NoError(t, err)
	require.NoError(t, postgres.Advisory(s.pool).Guard(t.Context(), tx, l))
	ctx, cancel := context.WithTimeout(t.Context(), aMoment)
	defer cancel()
	other := s.client()
	require.ErrorIs(t, other.ForceRelease(ctx, "n"), sqllock.ErrNotConfirmed)
	require.NoError(t, l.Err())
	require.NoError(t, tx.Commit(t.Context()))
	require.NoError(t, other.ForceRelease(t.Context(), "n"))
	assert.ErrorIs(t, l.Err(), sqllock.ErrForced)
}
