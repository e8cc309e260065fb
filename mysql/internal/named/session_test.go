package named

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sqllock/toolkit/internal/testdb"
	"github.com/sqllock/toolkit/sqllock"
)

const slack = 10 * time.Second

type source struct{}

func (source) Uint64() uint64 { return rand.Uint64() }

type nobody struct{}

func (nobody) Lost(error) {}

// scene is sessions on one server, of which nothing happens by itself while a test runs.
type scene struct {
	*testing.T
	slow *testdb.Latency
	open func() *Session
}

func newScene(t *testing.T) *scene {
	t.Helper()
	cfg, slow := testdb.MySQL(t), testdb.NewLatency()
	cfg.DialFunc = slow.Dial
	connector, err := NewConnector(cfg, "test", time.Hour)
	require.NoError(t, err)
	s := &scene{T: t, slow: slow}
	s.open = func() *Session {
		session := Open(Config{
			SessionConfig: sqllock.SessionConfig{Clock: sqllock.SystemClock, Rand: source{}, Logger: slog.New(slog.DiscardHandler)},
			Connector:     connector, Poll: time.Hour, MaxParked: 4,
		})
		t.Cleanup(func() { assert.NoError(t, session.Close(context.Background())) })
		return session
	}
	return s
}

// request is for the one name of this test: user locks belong to the whole server.
func (s *scene) request() *sqllock.Request {
	return &sqllock.Request{Name: s.Name(), Key: NewKeys("database", "").Of(s.Name()), Holder: nobody{}}
}

func (s *scene) try(session *Session) (*Hold, error) {
	var results [1]sqllock.Result
	session.Try(s.Context(), []*sqllock.Request{s.request()}, results[:])
	h, _ := results[0].Hold.(*Hold)
	return h, results[0].Err
}

func (s *scene) acquire(session *Session) *Hold {
	s.Helper()
	h, err := s.try(session)
	require.NoError(s, err)
	return h
}

// sees waits for a condition of the session's.
func (s *scene) sees(session *Session, what string, condition func() bool) {
	s.Helper()
	require.Eventually(s, func() bool {
		session.mu.Lock()
		defer session.mu.Unlock()
		return condition()
	}, slack, time.Millisecond, what)
}

// The server would grant it again: GET_LOCK is re-entrant.
func TestWhatASessionHoldsIsNotAskedForAgain(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	session := s.open()
	h := s.acquire(session)
	_, err := s.try(session)
	require.ErrorIs(t, err, sqllock.ErrNotAcquired)
	assert.NoError(t, h.Err())
}

// One answer may say that the session is not ours any more. What the others of the same statement say then is about another one.
func TestWhatTravelsWithTheEndOfASessionIsAborted(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	session := s.open()
	h := s.acquire(session)
	_, err := h.link.ask("SELECT RELEASE_LOCK('" + h.link.marker + "')") // as it looks from another session
	require.NoError(t, err)

	session.mu.Lock()
	session.send(h.link, &op{kind: same, key: h.link.marker})
	asks := newOp(mine, h.entry)
	session.send(h.link, asks)
	require.NoError(t, session.unlockAndAwait(t.Context(), asks))
	assert.ErrorIs(t, asks.err, errAnother)
	assert.ErrorIs(t, h.Err(), errAnother)
}

// Whoever asks may still write an answer down when the end of the session has been told to who has waited for it.
func TestOpThatWasTornIsNotUsedAgain(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	session := s.open()
	h := s.acquire(session)
	s.slow.Hold()
	defer s.slow.End()
	session.mu.Lock()
	o := newOp(mine, h.entry)
	session.send(h.link, o)
	session.unlock() // and somebody asks
	session.mu.Lock()
	require.NotNil(t, h.link.flying)
	session.end(h.link, errors.New("the test ends it"))
	session.unlock()
	require.NoError(t, session.await(t.Context(), o))
	require.Error(t, o.err)
	o.recycle(nil)
	assert.Equal(t, mine, o.kind, "it is as it was, and not as one that waits for its next use")
	assert.Error(t, o.err)
}

// A release may be answered while more is to be asked on its connection, which is free only after that.
func TestConnectionIsSparedWhenItsLastAnswerHasLanded(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	first, session := s.open(), s.open()
	held := s.acquire(first)
	got := make(chan sqllock.Hold, 1)
	go func() {
		h, err := session.Wait(s.Context(), s.request())
		assert.NoError(t, err)
		got <- h
	}()
	s.sees(session, "a connection waits in the server", func() bool {
		return slices.ContainsFunc(session.links, (*link).waits)
	})
	first.Release(t.Context(), []sqllock.Hold{held}, make([]error, 1))
	h := (<-got).(*Hold)

	s.slow.Hold()
	defer s.slow.End()
	session.mu.Lock()
	l := h.link
	require.NotSame(t, session.carrier, l)
	session.giveBack(h)
	session.unlock()
	session.mu.Lock()
	require.NotNil(t, l.flying)
	session.send(l, &op{kind: same, key: l.marker})
	session.unlock()
	s.slow.End()
	s.sees(session, "the connection is ready to wait for another key", func() bool { return slices.Contains(session.spare, l) })
}

// noSuchThread is the error of a server that is to kill somebody whom it does not know.
const noSuchThread = 1094

// After a fail-over the carrier may lead to another server than a connection that still waits. There somebody else may have its number.
func TestOnlyTheSessionThatWaitsIsCalledOff(t *testing.T) {
	t.Parallel()
	for what, elsewhere := range map[string]bool{"on the same server": false, "on another server": true} {
		s := newScene(t)
		holder, session := s.open(), s.open()
		held := s.acquire(holder)
		ctx, leave := context.WithCancel(t.Context())
		waited := make(chan error, 1)
		go func() {
			_, err := session.Wait(ctx, s.request())
			waited <- err
		}()
		var waits *link
		s.sees(session, "a connection waits in the server", func() bool {
			i := slices.IndexFunc(session.links, (*link).waits)
			if i < 0 || session.carrier == nil {
				return false
			}
			if waits = session.links[i]; elsewhere {
				waits.marker = "sqllock-session:elsewhere"
			}
			return true
		})
		leave()
		require.ErrorIs(t, <-waited, context.Canceled, what)
		s.sees(session, "it waits no longer", func() bool { return !slices.ContainsFunc(session.links, (*link).waits) })
		ended := waits.dead.Load()
		require.Equal(t, elsewhere, ended != nil, "%s: it is ended where it cannot be called off", what)
		if elsewhere {
			assert.Equal(t, noSuchThread, int(number(*ended)), "%v", *ended)
		}
		holder.Release(t.Context(), []sqllock.Hold{held}, make([]error, 1))
	}
}

// A statement may have been granted what it asked for before something ended it, or before nobody wanted it any more.
func TestWhatIsInDoubtIsGivenUp(t *testing.T) {
	t.Parallel()
	for what, answered := range map[string]func(*Session, *link, *op){
		"an error": func(s *Session, l *link, o *op) {
			s.failed(l, o, errors.New("the test ends it"))
		},
		"null": func(s *Session, l *link, o *op) {
			o.code = null
			s.answered(l, o, s.now())
		},
		"nobody waits any more": func(s *Session, l *link, o *op) {
			o.entry.busy, o.entry.parked, l.entry = nil, l, o.entry
			o.kind, o.code, o.done = park, '1', nil
			s.answered(l, o, s.now())
		},
	} {
		s := newScene(t)
		session, other := s.open(), s.open()
		h := s.acquire(session)
		session.Release(t.Context(), []sqllock.Hold{h}, make([]error, 1))
		_, err := h.link.ask("SELECT GET_LOCK('" + h.entry.key + "', 0)") // which has been carried out
		require.NoError(t, err)
		session.mu.Lock()
		o := &op{kind: attempt, entry: session.entry(h.entry.key), key: h.entry.key, req: s.request(), done: make(chan struct{}, 1)}
		o.entry.busy = o
		answered(session, h.link, o)
		session.unlock()
		require.Eventually(t, func() bool {
			_, err := s.try(other)
			return err == nil
		}, slack, time.Millisecond, what)
		require.NoError(t, other.Close(t.Context()))
	}
}
