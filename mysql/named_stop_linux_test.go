package mysql_test

import (
	"bufio"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"strings"
	"syscall"
	"testing"
	"time"

	driver "github.com/go-sql-driver/mysql"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sqllock/toolkit/mysql"
	"github.com/sqllock/toolkit/sqllock"
)

// namedTimeout is the shortest that SessionTimeout accepts, and namedLimit what a holder is promised of it.
const (
	namedTimeout = 3 * time.Second
	namedLimit   = namedTimeout * 8 / 15
)

// stop freezes the helper, and returns when it is frozen.
func (h *namedHelper) stop() {
	h.t.Helper()
	require.NoError(h.t, h.cmd.Process.Signal(syscall.SIGSTOP))
	for {
		var status syscall.WaitStatus
		_, err := syscall.Wait4(h.cmd.Process.Pid, &status, syscall.WUNTRACED, nil)
		if errors.Is(err, syscall.EINTR) {
			continue
		}
		require.NoError(h.t, err)
		require.True(h.t, status.Stopped(), "the helper has ended instead of stopping")
		return
	}
}

func (h *namedHelper) resume() {
	h.t.Helper()
	require.NoError(h.t, h.cmd.Process.Signal(syscall.SIGCONT))
}

// dieWithParent is for processes that are stopped, and so do not see that their input has ended.
func dieWithParent() error {
	if _, _, err := syscall.RawSyscall(syscall.SYS_PRCTL, syscall.PR_SET_PDEATHSIG, uintptr(syscall.SIGKILL), 0); err != 0 {
		return err
	}
	return nil
}

// TestNamedStoppedHolderFindsOutFirst stops a process that holds a lock, as a debugger or a starved host does. Its kernel goes on to acknowledge
// what the server sends, so nothing but the time without a command tells the server. Afterwards, whatever the process asks first is answered
// by the clock: it must not wait for a timer or for the connection's end to be read.
func TestNamedStoppedHolderFindsOutFirst(t *testing.T) {
	type question func(b *mysql.NamedBackend, tx *sql.Tx, l *sqllock.Lock) error
	ctx := context.Background()
	first := map[string]question{
		"Err":     func(_ *mysql.NamedBackend, _ *sql.Tx, l *sqllock.Lock) error { return l.Err() },
		"Verify":  func(_ *mysql.NamedBackend, _ *sql.Tx, l *sqllock.Lock) error { return l.Verify(ctx) },
		"Guard":   func(b *mysql.NamedBackend, tx *sql.Tx, l *sqllock.Lock) error { return b.Guard(ctx, tx, l) },
		"Release": func(_ *mysql.NamedBackend, _ *sql.Tx, l *sqllock.Lock) error { return l.Release(ctx) },
	}
	inNamedHelper(func(cfg *driver.Config, ask *bufio.Scanner, tell io.Writer) error {
		if err := dieWithParent(); err != nil {
			return err
		}
		db, err := sql.Open("mysql", cfg.FormatDSN())
		if err != nil {
			return err
		}
		b := mysql.Named(cfg, mysql.SessionTimeout(namedTimeout), mysql.WithTokens())
		c := sqllock.New(b)
		ask.Scan()
		l, err := c.Acquire(ctx, ask.Text())
		if err != nil {
			return err
		}
		tx, err := db.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		last := time.Now()
		_, _ = fmt.Fprintln(tell, "held")
		// It does not sleep: it would be woken together with the timers that may end the lock.
		for now := last; now.Sub(last) < namedLimit; now = time.Now() {
			last = now
		}
		err = first[l.Name()](b, tx, l)
		_, _ = fmt.Fprintf(tell, "lost %t, released %t: %q\n", errors.Is(err, sqllock.ErrLost), errors.Is(err, sqllock.ErrReleased), fmt.Sprint(err))
		ask.Scan()
		if err := l.Err(); !errors.Is(err, sqllock.ErrLost) {
			return fmt.Errorf("then Err is %w", err)
		}
		if _, err = c.TryAcquire(ctx, l.Name()); !errors.Is(err, sqllock.ErrNotAcquired) {
			return fmt.Errorf("while somebody else holds it: %w", err)
		}
		_, _ = fmt.Fprintln(tell, "held by somebody else")
		ask.Scan()
		if _, err = c.Acquire(ctx, l.Name()); err != nil {
			return err
		}
		_, _ = fmt.Fprintln(tell, "held again")
		ask.Scan()
		return nil
	})
	t.Parallel()
	s := newNamedScene(t)
	other := s.client(mysql.WithTokens())
	helpers := make(map[string]*namedHelper)
	for name := range first {
		h := startNamedHelper(t, s.cfg)
		h.tell(name)
		require.Equal(t, "held", h.line())
		h.stop()
		helpers[name] = h
	}
	stopped := time.Now()
	next := make(map[string]*sqllock.Lock)
	for name := range helpers {
		next[name] = s.granted(s.begins(other, name), namedTimeout)
	}
	<-time.After(time.Until(stopped.Add(2 * namedLimit))) // a pause that no busy machine makes
	for name, h := range helpers {
		h.resume()
		answer := h.line()
		assert.True(t, strings.HasPrefix(answer, "lost true, released false"), "%s: %s", name, answer)
		assert.Equal(t, "held by somebody else", h.next())
		s.release(next[name])
		assert.Equal(t, "held again", h.next())
	}
}

// TestNamedGrantThatLayUnreadIsNone stops a process that waits. What it is granted meanwhile the server takes back, and gives to somebody else.
// When the process goes on, the grant is the first thing that it reads.
func TestNamedGrantThatLayUnreadIsNone(t *testing.T) {
	ctx := context.Background()
	inNamedHelper(func(cfg *driver.Config, ask *bufio.Scanner, tell io.Writer) error {
		if err := dieWithParent(); err != nil {
			return err
		}
		c := sqllock.New(mysql.Named(cfg, mysql.SessionTimeout(namedTimeout)))
		l, err := c.Acquire(ctx, "n")
		if err != nil {
			return err
		}
		_, _ = fmt.Fprintf(tell, "granted: %v, %v\n", l.Err(), l.Verify(ctx))
		ask.Scan()
		return nil
	})
	t.Parallel()
	s := newNamedScene(t)
	holder, other := s.client(), s.client()
	held := s.acquire(holder, "n")
	h := startNamedHelper(t, s.cfg)
	s.eventually(func() bool { return len(s.waiting("n")) == 1 }, "the process waits")
	waits := s.waiting("n")[0]
	h.stop()
	got := s.waits(other, "n")
	s.release(held)
	s.eventually(func() bool { return s.holder("n") == waits }, "it is granted to the process that is stopped")
	next := s.granted(got, namedTimeout)
	h.resume()
	s.eventually(func() bool { return len(s.waiting("n")) == 1 }, "it waits again")
	require.NoError(t, next.Verify(ctx))
	s.release(next)
	assert.Equal(t, "granted: <nil>, <nil>", h.line())
}
