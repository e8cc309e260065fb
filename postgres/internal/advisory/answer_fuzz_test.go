package advisory

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/stretchr/testify/require"

	"github.com/sqllock/toolkit/sqllock"
)

// stillClock stands still, and calls nobody.
type stillClock struct{}

func (stillClock) Now() time.Duration                            { return time.Hour }
func (stillClock) AfterFunc(time.Duration, func()) sqllock.Timer { return stillTimer{} }

type stillTimer struct{}

func (stillTimer) Stop() bool               { return true }
func (stillTimer) Reset(time.Duration) bool { return true }

// unheard is a connection into which everything vanishes.
type unheard struct{ net.Conn }

func (unheard) Write(p []byte) (int, error)     { return len(p), nil }
func (unheard) SetReadDeadline(time.Time) error { return nil }
func (unheard) Close() error                    { return nil }

type nobody struct{}

func (nobody) Lost(error) {}

// answered is what a session that has asked for something makes of what a server says: which of its attempts have been granted.
type answered struct {
	session  *Session
	attempts []*op
	others   []*op
}

// ask has a session ask for locks of all modes, and reads what a server says until that ends, or the session does.
func ask(t *testing.T, modes []sqllock.Mode, said []byte) (*answered, error) {
	t.Helper()
	s := Open(Config{
		SessionConfig: sqllock.SessionConfig{Clock: stillClock{}, Rand: rand.NewPCG(1, 1), Logger: slog.New(slog.DiscardHandler)},
		Connector:     Connector{Dial: func(context.Context) (*pgx.Conn, error) { return nil, errors.New("no server") }, Timeout: time.Minute},
		Key:           func(name string) int64 { return KeyOf("", name) },
		Poll:          time.Minute,
		MaxLocks:      100,
	})
	l := &link{
		session: s, conn: unheard{}, frontend: pgproto3.NewFrontend(bytes.NewReader(said), nil), clock: stillClock{}, limit: time.Minute,
		pid: 4711, marker: marker("", 4711), nonce: pair{1, 2}, reading: true, resume: make(chan struct{}, 1),
	}
	l.answered.Store(int64(time.Hour))
	a := &answered{session: s}
	s.mu.Lock()
	s.link = l
	for i, mode := range modes {
		name := string(rune('a' + i))
		req := &sqllock.Request{Name: name, Key: FormatKey(KeyOf("", name)), Mode: mode, Permits: 3, Holder: nobody{}}
		a.attempts = append(a.attempts, s.submitAttempt(req))
	}
	for _, k := range []kind{unguarded, notify, holders} {
		o := newOp(k, s.entry(int64(k)))
		a.others = append(a.others, o)
		s.asking = append(s.asking, o)
	}
	s.unlock()
	err := error(nil)
	for err == nil {
		err = l.receive(t.Context(), s, nil)
	}
	l.end(s, err)
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.die()
	s.dials.Wait()
	return a, err
}

// granted counts the attempts that have succeeded, and no others.
func (a *answered) granted() (n int) {
	for _, o := range a.attempts {
		if o.granted != nil {
			n++
		}
	}
	return n
}

// says encodes messages of a server.
func says(messages ...pgproto3.BackendMessage) (said []byte) {
	for _, m := range messages {
		said, _ = m.Encode(said)
	}
	return said
}

func row(columns ...[]byte) *pgproto3.DataRow { return &pgproto3.DataRow{Values: columns} }

var (
	tokenColumn = []byte{0, 0, 0, 0, 0, 0, 0, 7}
	placeColumn = []byte{0, 0, 0, 1}
	trueColumn  = []byte{1}
	done        = &pgproto3.CommandComplete{CommandTag: []byte("SELECT 1")}
	idle        = &pgproto3.ReadyForQuery{TxStatus: 'I'}
)

var allModes = []sqllock.Mode{sqllock.ModeExclusive, sqllock.ModeExclusive, sqllock.ModeShared, sqllock.ModePermit}

// grantingAll is what a server says that grants allModes, and answers the rest.
func grantingAll() []byte {
	return says(&pgproto3.BindComplete{}, row(tokenColumn), row(tokenColumn), done, &pgproto3.BindComplete{}, row(tokenColumn), done,
		&pgproto3.BindComplete{}, row(tokenColumn, placeColumn), done, idle,
		&pgproto3.BindComplete{}, row(trueColumn), done, &pgproto3.BindComplete{}, row(trueColumn), done, &pgproto3.BindComplete{}, row(placeColumn), done, idle)
}

// immense tells of a message for which pgx would make room before it has seen it, if there is any left.
func immense(said []byte) bool {
	for len(said) >= 5 {
		size := binary.BigEndian.Uint32(said[1:])
		if size > 1<<16 {
			return true
		}
		said = said[min(len(said), 1+max(int(size), 4)):]
	}
	return false
}

// FuzzAnswers: whatever a server says, and whoever it says it to, the session takes it without panic, and nothing is granted for which there was no
// row that grants.
func FuzzAnswers(f *testing.F) {
	whole := grantingAll()
	f.Add(whole)
	f.Add(append(whole, whole...))
	null, refusal := []byte(nil), []byte{255, 255, 255, 255, 255, 255, 255, 255}
	failure := &pgproto3.ErrorResponse{Severity: "ERROR", SeverityUnlocalized: "ERROR", Code: "53200", Message: "out of shared memory"}
	f.Add(says(row(null), row(refusal), done, row(null), done, row(null, null), done, idle, failure, idle))
	f.Add(says(row(tokenColumn), row(tokenColumn), done, row(tokenColumn), done, row(tokenColumn), done, idle, idle))
	f.Add(says(row(tokenColumn), row(tokenColumn), done, row(tokenColumn), done, row(tokenColumn, null), done, idle, idle))
	f.Add(says(row(tokenColumn), row(tokenColumn), done, row(tokenColumn), done, row(tokenColumn, []byte{0x7f, 0, 0, 0}), done, idle, idle))
	f.Add(says(row(tokenColumn), row(tokenColumn), done, row(tokenColumn), done, row(tokenColumn, []byte{0, 0, 0, 0}), done, idle, idle))
	f.Add(says(row([]byte{255, 255, 255, 255, 255, 255, 0, 0}), row([]byte{7}), done, row([]byte{0, 0, 0, 7}), done, row(tokenColumn, placeColumn), done, idle, idle))
	f.Add(says(failure, idle, row(trueColumn), done, failure, idle, row(trueColumn), row(trueColumn), row(trueColumn), done, idle))
	f.Add(says(row(tokenColumn), failure, failure, idle, failure, done, idle, idle))
	f.Add(says(idle, idle, idle))
	f.Add(append(says(failure, idle, failure, idle), says(row(trueColumn, tokenColumn, trueColumn), row(trueColumn), done, idle)...))
	f.Add(says(row(), row(trueColumn), done))
	f.Add(says(&pgproto3.NotificationResponse{PID: 1, Channel: channel, Payload: "x1"}, &pgproto3.ErrorResponse{SeverityUnlocalized: "FATAL"}))
	f.Add(says(&pgproto3.ReadyForQuery{TxStatus: 'T'}))
	f.Add([]byte("D\xff\xff\xff\xff"))
	f.Add([]byte("D\x00\x00\x00\x06\xff\xff"))
	f.Fuzz(func(t *testing.T, said []byte) {
		if immense(said) {
			t.Skip()
		}
		a, err := ask(t, allModes, said)
		require.Error(t, err)
		rows, ends := 0, 0
		reader := pgproto3.NewFrontend(bytes.NewReader(said), nil)
		for {
			m, err := reader.Receive()
			if err != nil {
				break
			}
			switch m := m.(type) {
			case *pgproto3.DataRow:
				if len(m.Values) > 0 && len(m.Values[0]) == 8 && m.Values[0][0] < 128 {
					rows++
				}
			case *pgproto3.ReadyForQuery:
				ends++
			}
		}
		require.LessOrEqual(t, a.granted(), rows)
		if ends < 2 {
			require.Zero(t, a.granted())
		}
		for _, o := range a.attempts {
			if h := o.granted; h != nil {
				require.Error(t, h.Err(), "the session has ended, and the lock with it")
				require.True(t, h.req.Mode != sqllock.ModePermit || h.slot >= 0 && h.slot < 3)
			}
		}
		require.Empty(t, a.session.expectedHolds(), "nothing is counted as held")
	})
}

// expectedHolds are the holds that the session counts.
func (s *Session) expectedHolds() (n []int64) {
	for key, e := range s.entries {
		if e.count > 0 {
			n = append(n, key)
		}
	}
	return n
}

// FuzzAnswersCutOff: what was cut off grants nothing.
func FuzzAnswersCutOff(f *testing.F) {
	whole := grantingAll()
	for cut := range len(whole) {
		f.Add(uint16(cut))
	}
	f.Fuzz(func(t *testing.T, cut uint16) {
		a, err := ask(t, allModes, whole[:int(cut)%len(whole)])
		require.ErrorIs(t, err, io.ErrUnexpectedEOF)
		require.Zero(t, a.granted())
		for _, o := range a.attempts {
			require.Error(t, o.err)
			require.NotErrorIs(t, o.err, sqllock.ErrNotAcquired, "that was no refusal")
		}
	})
}
