package named

import (
	"context"
	"database/sql/driver"
	"io"
	"log/slog"
	"net"
	"regexp"
	"sync"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sqllock/toolkit/sqllock"
)

// model is the session of a server where nobody else is, as far as its user locks go: they count how often they were taken.
type model struct {
	interrupt func() bool // a statement that has been carried out, before it is answered

	mu    sync.Mutex
	locks map[string]int
}

// openModel opens a session whose carrier leads to a model.
func openModel(t *testing.T, cfg Config) (*model, *Session) {
	t.Helper()
	cfg.SessionConfig = sqllock.SessionConfig{Clock: sqllock.SystemClock, Rand: source{}, Logger: slog.New(slog.DiscardHandler)}
	cfg.Connector = Connector{timeout: time.Hour}
	s := Open(cfg)
	t.Cleanup(func() { assert.NoError(t, s.Close(context.Background())) })

	ours, theirs := net.Pipe()
	t.Cleanup(func() { assert.NoError(t, theirs.Close()) })
	m := &model{interrupt: func() bool { return false }, locks: make(map[string]int)}
	l := &link{conn: m, wire: &wire{Conn: ours}, clock: sqllock.SystemClock, limit: time.Hour, marker: "marker", id: 1}
	l.heard.Store(int64(s.now()))
	s.connected(l, nil)
	return m, s
}

// has is how often the server would have to be told to release a key.
func (m *model) has(key string) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.locks[key]
}

// userLock finds what takes a key and what releases it: only if it is held, which makes no difference here.
var userLock = regexp.MustCompile(`(GET|RELEASE)_LOCK\('([^']*)'`)

// QueryContext implements [driver.QueryerContext].
func (m *model) QueryContext(_ context.Context, sql string, _ []driver.NamedValue) (driver.Rows, error) {
	answer := m.carryOut(sql)
	if m.interrupt() {
		return nil, &mysql.MySQLError{Number: interrupted, Message: "Query execution was interrupted"}
	}
	return &modelRows{answer}, nil
}

func (m *model) carryOut(sql string) []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	var answer []byte
	for _, found := range userLock.FindAllStringSubmatch(sql, -1) {
		switch key := found[2]; {
		case found[1] == "GET":
			m.locks[key]++
		case m.locks[key] == 0:
			answer = append(answer, '0')
			continue
		default:
			m.locks[key]--
		}
		answer = append(answer, '1')
	}
	return answer
}

func (*model) IsValid() bool                       { return true }
func (*model) Close() error                        { return nil }
func (*model) Prepare(string) (driver.Stmt, error) { panic("nobody prepares here") }
func (*model) Begin() (driver.Tx, error)           { panic("nobody begins here") }

// modelRows is one row with one value.
type modelRows struct{ value []byte }

func (*modelRows) Columns() []string { return []string{"answer"} }
func (*modelRows) Close() error      { return nil }

func (r *modelRows) Next(row []driver.Value) error {
	if r.value == nil {
		return io.EOF
	}
	row[0], r.value = r.value, nil
	return nil
}

// A statement that gives up a key may be carried out and end with an error all the same. Somebody may have asked for the key meanwhile: who is told of
// a loss lets the next one try before the server has answered.
func TestWhatGivesUpAKeyInDoubtGoesBeforeTheNextAttempt(t *testing.T) {
	t.Parallel()
	for what, killed := range map[string]int{
		"the release is killed":                           1,
		"the release is killed, and what gives it up too": 2,
	} {
		server, s := openModel(t, Config{})
		req := &sqllock.Request{Name: "n", Key: "key", Holder: nobody{}}
		s.mu.Lock()
		o := s.submitAttempt(req)
		require.NoError(t, s.unlockAndAwait(t.Context(), o), what)
		require.NoError(t, o.err, what)

		next, n := make(chan *op, 1), 0
		server.interrupt = func() bool {
			if n++; n == killed {
				s.mu.Lock()
				next <- s.submitAttempt(req)
				s.unlock()
			}
			return n <= killed
		}
		s.mu.Lock()
		s.takeAway(o.granted, sqllock.ErrForced)
		s.unlock()
		after := <-next
		require.NoError(t, s.await(t.Context(), after), what)
		require.NoError(t, after.err, what)
		require.NoError(t, after.granted.Err(), what)
		assert.Equal(t, 1, server.has("key"), "%s: the session holds what it believes to hold", what)
	}
}

// guarded is a ledger where a transaction that a former holder has guarded is open.
type guarded struct{ seen func() }

func (guarded) Check(context.Context) error { return nil }

func (g guarded) Count(_ context.Context, keys []Counted) error {
	for i := range keys {
		keys[i].Guarded = true
	}
	g.seen()
	return nil
}

// The key has been granted to those who wait, who have to wait on for the end of a transaction: that is no reason to have others wait too.
func TestWhoDoesNotWaitIsRefusedAtOnceWhereOthersWaitForAGuard(t *testing.T) {
	t.Parallel()
	refused := make(chan error, 1)
	var once sync.Once
	var s *Session
	req := &sqllock.Request{Name: "n", Key: "key", Holder: nobody{}}
	_, s = openModel(t, Config{Poll: time.Millisecond, Ledger: guarded{seen: func() {
		once.Do(func() {
			s.mu.Lock()
			defer s.unlock()
			refused <- s.submitAttempt(req).err
		})
	}}})
	ctx, leave := context.WithCancel(t.Context())
	waited := make(chan error, 1)
	go func() {
		_, err := s.Wait(ctx, req)
		waited <- err
	}()
	assert.ErrorIs(t, <-refused, sqllock.ErrNotAcquired)
	leave()
	require.ErrorIs(t, <-waited, context.Canceled)
}
