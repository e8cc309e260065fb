package advisory

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sqllock/toolkit/sqllock"
)

// bubbleClock shows the time of a bubble of synctest.
type bubbleClock struct{}

func (bubbleClock) Now() time.Duration { return time.Duration(time.Now().UnixNano()) }

func (bubbleClock) AfterFunc(d time.Duration, f func()) sqllock.Timer { return time.AfterFunc(d, f) }

// wire is a connection on which the server says what the test does.
type wire struct {
	net.Conn
	said    chan []byte
	stopped chan struct{} // whoever has read something goes on when this is closed
	closed  chan struct{}
	written func()
	readers atomic.Int32
	crowd   atomic.Bool // more than one have read at once
}

func (w *wire) Read(p []byte) (int, error) {
	if w.readers.Add(1) > 1 {
		w.crowd.Store(true)
	}
	defer w.readers.Add(-1)
	select {
	case said := <-w.said:
		<-w.stopped
		return copy(p, said), nil
	case <-w.closed:
		return 0, io.EOF
	}
}

func (w *wire) Write(p []byte) (int, error) {
	w.written()
	return len(p), nil
}

func (w *wire) SetReadDeadline(time.Time) error { return nil }

func (w *wire) Close() error {
	select {
	case <-w.closed:
	default:
		close(w.closed)
	}
	return nil
}

// wired is a session in a bubble whose connection is a wire. Nobody is stopped there.
func wired() (*Session, *link, *wire) {
	s := Open(Config{
		SessionConfig: sqllock.SessionConfig{Clock: bubbleClock{}, Rand: rand.NewPCG(1, 1), Logger: slog.New(slog.DiscardHandler)},
		Connector:     Connector{Dial: func(context.Context) (*pgx.Conn, error) { return nil, errors.New("no server") }, Timeout: 15 * time.Second},
		Key:           func(name string) int64 { return KeyOf("", name) },
		Poll:          time.Minute,
		MaxLocks:      100,
	})
	w := &wire{said: make(chan []byte), stopped: make(chan struct{}), closed: make(chan struct{}), written: func() {}}
	close(w.stopped)
	l := &link{
		session: s, conn: w, frontend: pgproto3.NewFrontend(w, nil), clock: bubbleClock{}, limit: s.cfg.limit(), pid: 4711,
		marker: marker("", 4711), nonce: pair{1, 2}, reading: true, resume: make(chan struct{}, 1), ended: make(chan struct{}),
	}
	l.answered.Store(int64(s.now()))
	s.link = l
	s.dials.Go(func() { l.read(s) })
	return s, l, w
}

func wanting(name string) *sqllock.Request {
	return &sqllock.Request{Name: name, Key: FormatKey(KeyOf("", name)), Holder: nobody{}}
}

// tries makes a single attempt in the background.
func (s *Session) tries(name string) <-chan sqllock.Result {
	result := make(chan sqllock.Result, 1)
	go func() {
		var one [1]sqllock.Result
		s.Try(context.Background(), []*sqllock.Request{wanting(name)}, one[:])
		result <- one[0]
	}()
	synctest.Wait()
	return result
}

// A process may be stopped after it has read an answer, and when it goes on the silence may be noticed before that is decoded.
func TestReaderThatWasStoppedMayGoOnAfterTheEnd(t *testing.T) {
	failure := &pgproto3.ErrorResponse{Severity: "ERROR", SeverityUnlocalized: "ERROR", Code: "53200", Message: "out of shared memory"}
	for name, said := range map[string][]byte{"Grant": says(row(tokenColumn), done, idle), "Failure": says(failure, idle)} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, l, w := wired()
				w.stopped = make(chan struct{})
				result := s.tries("n")
				w.said <- said
				time.Sleep(l.limit)
				s.tick(l)
				require.ErrorIs(t, (<-result).Err, errSilent)
				close(w.stopped)
				require.NoError(t, s.Close(t.Context()))
			})
		})
	}
}

func TestOpWhoseAnswerMayBeDecodedAfterTheEndIsNotUsedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, l, _ := wired()
		result := s.tries("n")
		b := l.flying.Load()
		l.end(s, errSilent)
		require.ErrorIs(t, (<-result).Err, errSilent)
		require.NotPanics(t, func() { assert.NoError(t, b.row([][]byte{tokenColumn})) })
		require.NoError(t, s.Close(t.Context()))
	})
}

func TestFailureThatIsDecodedAfterTheEndIsNotTheAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, l, _ := wired()
		s.mu.Lock()
		o := s.submitAttempt(wanting("n"))
		s.unlock()
		b := l.flying.Load()
		l.end(s, errSilent)
		b.fail(errors.New("out of shared memory"))
		<-o.done
		require.ErrorIs(t, o.err, errSilent)
		require.NoError(t, s.Close(t.Context()))
	})
}

func TestListOfLocksMayBeDecodedAfterTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, l, _ := wired()
		s.mu.Lock()
		s.check.want()
		s.unlock()
		b := l.flying.Load()
		l.end(s, errSilent)
		require.NotPanics(t, func() { assert.NoError(t, b.row([][]byte{trueColumn, tokenColumn, trueColumn})) })
		require.NoError(t, s.Close(t.Context()))
	})
}

// The decoder of a connection is for one goroutine. Who asks a hold whether it is lost may find the silence before anybody else does.
func TestOneReadsAtATimeThoughTheEndIsKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, l, w := wired()
		first := s.tries("a")
		w.said <- says(row(tokenColumn), done, idle)
		held := (<-first).Hold
		require.NotNil(t, held)
		second := s.tries("b") // reads for itself
		time.Sleep(l.limit)
		require.ErrorIs(t, held.Err(), errSilent)
		time.Sleep(10 * quiet)
		require.False(t, w.crowd.Load(), "the connection's own reader reads beside a caller")
		s.tick(l)
		require.ErrorIs(t, (<-second).Err, errSilent)
		<-l.ended
		require.NoError(t, s.Close(t.Context()))
		require.False(t, w.crowd.Load())
	})
}

// closing closes the session when it is asked for a random number.
type closing struct{ s *Session }

func (c closing) Uint64() uint64 {
	_ = c.s.Close(context.Background())
	return 1
}

func TestForceReleaseEndsThoughTheSessionIsClosedAfterItsFirstLook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _, w := wired()
		s.cfg.Rand = closing{s}
		forced := make(chan error)
		go func() { forced <- s.ForceRelease(context.Background(), "n") }()
		synctest.Wait()
		w.said <- says(row(placeColumn), done, idle)
		require.ErrorIs(t, <-forced, sqllock.ErrClosed)
	})
}

// What is granted while a session closes is freed with the session, and by then must be known to be lost.
func TestSessionIsDeadBeforeTheServerHearsOfIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, l, w := wired()
		goodbyes := 0
		w.written = func() {
			goodbyes++
			assert.ErrorIs(t, l.err(), sqllock.ErrClosed)
		}
		require.NoError(t, s.Close(t.Context()))
		require.Equal(t, 1, goodbyes)
	})
}

// An attempt that was to be announced is one like others on the next connection, where nobody has gone first.
func TestAttemptThatWasToBeAnnouncedIsCountedOnceAfterTheEnd(t *testing.T) {
	s := idleSession()
	s.cfg.Logger = slog.New(slog.DiscardHandler)
	e := s.entry(1)
	e.busy = &op{kind: attempt, entry: e, req: &sqllock.Request{Waits: true}, tells: true, told: true}
	s.entering, s.flying = []*op{e.busy}, new(batch)
	s.dialling = true // so that nobody connects
	s.broken(s.link, errSilent)
	b := new(batch)
	s.load(b)
	require.Len(t, b.groups[changing], 1)
	assert.Equal(t, "lock", b.groups[changing][0].name)
	assert.Equal(t, 1, s.locks)
}

// The locks of a session know no transactions: what was released before something failed is released.
func TestReleaseSucceedsThoughWhatFollowsItFails(t *testing.T) {
	for name, answered := range map[string]int{"Statement": 2, "Commit": 3} {
		t.Run(name, func(t *testing.T) {
			e := &entry{}
			released, wanted := &op{kind: release, entry: e}, &op{kind: attempt, entry: e, req: wanting("n")}
			b := new(batch)
			b.add(changing, "delist", released)
			b.add(changing, "unlock", released)
			b.add(changing, "lock", wanted)
			for _, column := range [][]byte{trueColumn, placeColumn, tokenColumn}[:answered] {
				require.NoError(t, b.row([][]byte{column}))
				require.NoError(t, b.complete())
			}
			failure := errors.New("a failure")
			b.fail(failure)
			assert.NoError(t, released.failure)
			assert.True(t, released.unheard, "the notification has gone with the transaction")
			assert.ErrorIs(t, wanted.failure, failure)
			assert.True(t, b.synced())
		})
	}
}
