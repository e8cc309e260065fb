package postgres_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sqllock/toolkit/postgres"
	"github.com/sqllock/toolkit/sqllock"
)

// stopTimeout is the shortest that SessionTimeout accepts, and stopLimit what a holder is promised of it.
const (
	stopTimeout = 3 * time.Second
	stopLimit   = stopTimeout * 8 / 15
)

// stop freezes the helper, and returns when it is frozen.
func (h *helper) stop() {
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

func (h *helper) resume() {
	h.t.Helper()
	require.NoError(h.t, h.cmd.Process.Signal(syscall.SIGCONT))
}

// TestAdvisoryStoppedHolderFindsOutFirst stops a process that holds a lock, as a debugger or a starved host does. Its kernel goes on to
// acknowledge what the server sends, so nothing but the time without a command tells the server. Afterwards, whatever the process
// asks first is answered by the clock: it must not wait for a timer or for the connection's end to be read.
func TestAdvisoryStoppedHolderFindsOutFirst(t *testing.T) {
	type question func(b *postgres.AdvisoryBackend, tx pgx.Tx, l *sqllock.Lock) error
	ctx := context.Background()
	first := map[string]question{
		"Err":     func(_ *postgres.AdvisoryBackend, _ pgx.Tx, l *sqllock.Lock) error { return l.Err() },
		"Verify":  func(_ *postgres.AdvisoryBackend, _ pgx.Tx, l *sqllock.Lock) error { return l.Verify(ctx) },
		"Guard":   func(b *postgres.AdvisoryBackend, tx pgx.Tx, l *sqllock.Lock) error { return b.Guard(ctx, tx, l) },
		"Release": func(_ *postgres.AdvisoryBackend, _ pgx.Tx, l *sqllock.Lock) error { return l.Release(ctx) },
	}
	inHelper(func(dsn string, ask *bufio.Scanner, tell io.Writer) error {
		// A stopped process does not see that its input has ended.
		if _, _, err := syscall.RawSyscall(syscall.SYS_PRCTL, syscall.PR_SET_PDEATHSIG, uintptr(syscall.SIGKILL), 0); err != 0 {
			return err
		}
		pool, err := pgxpool.New(ctx, dsn)
		if err != nil {
			return err
		}
		b := postgres.Advisory(pool, postgres.SessionTimeout(stopTimeout))
		c := sqllock.New(b)
		ask.Scan()
		l, err := c.Acquire(ctx, ask.Text())
		if err != nil {
			return err
		}
		tx, err := pool.Begin(ctx)
		if err != nil {
			return err
		}
		last := time.Now()
		_, _ = fmt.Fprintln(tell, "held")
		// It does not sleep: it would be woken together with the timers that may end the lock.
		for now := last; now.Sub(last) < stopLimit; now = time.Now() {
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
	s := newScene(t)
	other := s.client()
	bounded := s.int("SELECT current_setting('server_version_num')::int") >= 140000 // by idle_session_timeout
	helpers := make(map[string]*helper)
	for name := range first {
		h := startHelper(t, s.dsn)
		_, err := io.WriteString(h.ask, name+"\n")
		require.NoError(t, err)
		require.Equal(t, "held", h.line())
		h.stop()
		helpers[name] = h
	}
	stopped := time.Now()
	next := make(map[string]*sqllock.Lock)
	for name := range helpers {
		if !bounded {
			continue
		}
		got := make(chan grant, 1)
		go func() {
			l, err := other.Acquire(t.Context(), name)
			got <- grant{l, err}
		}()
		next[name] = s.granted(got, stopTimeout)
	}
	<-time.After(time.Until(stopped.Add(2 * stopLimit))) // a pause that no busy machine makes
	for name, h := range helpers {
		h.resume()
		answer := h.line()
		assert.True(t, strings.HasPrefix(answer, "lost true, released false"), "%s: %s", name, answer)
		if !bounded { // what it has found out has freed the lock
			next[name] = s.acquire(other, name)
		}
		assert.Equal(t, "held by somebody else", h.next())
		s.release(next[name])
		assert.Equal(t, "held again", h.next())
	}
}
