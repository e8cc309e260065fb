package leaderelect_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sqllock/toolkit/leaderelect"
	"github.com/sqllock/toolkit/sqllock"
)

// helperDSN makes a test that calls onProcesses take part in the election of another test process.
const helperDSN = "SQLLOCK_ELECTION_HELPER_DSN"

// onProcesses is onBackends for tests that start processes.
func onProcesses(t *testing.T, test func(e *election)) {
	t.Helper()
	t.Parallel()
	for _, b := range backends {
		t.Run(b.name, func(t *testing.T) {
			if dsn := os.Getenv(helperDSN); dsn != "" {
				if err := serve(b, dsn); err != nil {
					fmt.Println("failed:", err)
				}
				os.Exit(0)
			}
			t.Parallel()
			test(newElection(t, b))
		})
	}
}

// serve is the inside of a helper: a candidate that tells its terms, and answers questions, for as long as somebody can ask.
func serve(b backend, dsn string) error {
	ctx := context.Background()
	locks, opened, err := b.client(dsn, "helper", shortest)
	if err != nil {
		return err
	}
	db, err := b.db(dsn)
	if err != nil {
		return err
	}
	var mu sync.Mutex
	var term leaderelect.Term
	elector, err := leaderelect.New(locks, "election", leaderelect.Config{
		Value: map[string]string{"address": "of helper"}, StandBack: 100 * time.Millisecond,
		OnElected: func(ctx context.Context, elected leaderelect.Term) error {
			mu.Lock()
			term = elected
			mu.Unlock()
			fmt.Println("elected", elected.Token)
			<-ctx.Done()
			return nil
		},
		OnDemoted: func(_ leaderelect.Term, reason error) {
			fmt.Println("demoted", errors.Is(reason, sqllock.ErrLost), reason)
		},
	})
	if err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- elector.Run(ctx) }()
	for ask := bufio.NewScanner(os.Stdin); ask.Scan(); {
		mu.Lock()
		mine := term
		mu.Unlock()
		switch ask.Text() {
		case "valid":
			fmt.Println("valid", mine.Valid(), elector.IsLeader(ctx) == nil)
		case "write":
			err := write(ctx, db, opened, mine)
			fmt.Println("write", err == nil, err)
		case "resign":
			fmt.Println("resign", elector.Resign(ctx))
		}
	}
	return <-ended // the end of the input is the end of the test, which kills this process
}

// helper is a candidate in another process.
type helper struct {
	e     *election
	cmd   *exec.Cmd
	input io.WriteCloser
	lines chan string
	told  map[string][]string // and not yet asked for, by kind
}

func (e *election) helper() *helper {
	e.Helper()
	parts := strings.Split(e.Name(), "/")
	for i, p := range parts {
		parts[i] = "^" + regexp.QuoteMeta(p) + "$"
	}
	cmd := exec.CommandContext(e.Context(), os.Args[0], "-test.run="+strings.Join(parts, "/"), "-test.count=1")
	cmd.Env = append(os.Environ(), helperDSN+"="+e.dsn)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // one that is stopped notices nothing
	input, err := cmd.StdinPipe()
	require.NoError(e, err)
	output, err := cmd.StdoutPipe()
	require.NoError(e, err)
	require.NoError(e, cmd.Start())
	h := &helper{e: e, cmd: cmd, input: input, lines: make(chan string, 100), told: make(map[string][]string)}
	read := make(chan struct{})
	go func() {
		defer close(read)
		defer close(h.lines)
		for lines := bufio.NewScanner(output); lines.Scan(); {
			h.lines <- lines.Text()
		}
	}()
	e.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-read
		_ = cmd.Wait()
	})
	return h
}

// tells waits for the helper to tell something of a kind, and returns the rest of that line.
func (h *helper) tells(kind string) string {
	h.e.Helper()
	timeout := time.After(slack)
	for len(h.told[kind]) == 0 {
		select {
		case line, ok := <-h.lines:
			require.True(h.e, ok, "the helper has ended")
			require.False(h.e, strings.HasPrefix(line, "failed:"), line)
			of, rest, _ := strings.Cut(line, " ")
			h.told[of] = append(h.told[of], rest)
		case <-timeout:
			h.e.Fatalf("the helper tells nothing of %q within %v", kind, slack)
		}
	}
	rest := h.told[kind][0]
	h.told[kind] = h.told[kind][1:]
	return rest
}

func (h *helper) asked(question string) string {
	h.e.Helper()
	_, err := io.WriteString(h.input, question+"\n")
	require.NoError(h.e, err)
	return h.tells(question)
}

// wins waits for a term of the helper, and returns its token.
func (h *helper) wins() (token int64) {
	h.e.Helper()
	_, err := fmt.Sscan(h.tells("elected"), &token)
	require.NoError(h.e, err)
	return token
}

func (h *helper) signal(s syscall.Signal) {
	h.e.Helper()
	require.NoError(h.e, h.cmd.Process.Signal(s))
}

// stop freezes the helper, and returns when it is frozen.
func (h *helper) stop() {
	h.e.Helper()
	h.signal(syscall.SIGSTOP)
	for {
		var status syscall.WaitStatus
		_, err := syscall.Wait4(h.cmd.Process.Pid, &status, syscall.WUNTRACED, nil)
		if errors.Is(err, syscall.EINTR) {
			continue
		}
		require.NoError(h.e, err)
		require.True(h.e, status.Stopped(), "the helper has ended instead of stopping")
		return
	}
}

// stopBetweenWrites stops the helper. In a database with one writer it must not be just then, because that would keep everybody out for as
// long as it is stopped: the database's own lock, and not what is tested here.
func (h *helper) stopBetweenWrites() {
	h.e.Helper()
	h.e.eventually(func() bool {
		h.stop()
		if !h.e.oneWriter {
			return true
		}
		ctx, cancel := context.WithTimeout(h.e.Context(), shortest/4)
		defer cancel()
		if _, err := h.e.app.ExecContext(ctx, "UPDATE journal SET line = line"); err != nil {
			h.signal(syscall.SIGCONT)
			return false
		}
		return true
	}, "the helper is stopped while it does not write")
}

func TestKilledLeaderIsFollowed(t *testing.T) {
	onProcesses(t, func(e *election) {
		h, m := e.helper(), e.member("m", nil)
		token := h.wins()
		e.leads(m, "helper", token)
		m.run().waits()
		h.signal(syscall.SIGKILL)
		term := m.wins(shortest)
		assert.Greater(e, term.Token, token)
		require.NoError(e, write(e.Context(), e.app, m.opened, term.Term))
		e.leads(m, "m", term.Token)
	})
}

// TestStoppedLeaderIsDeposed stops a leader for longer than its lock lasts, and lets it go on while somebody else leads.
func TestStoppedLeaderIsDeposed(t *testing.T) {
	onProcesses(t, func(e *election) {
		if e.keepsStopped != nil && e.keepsStopped(e.app) {
			e.Skip("this server keeps the locks of a process that is stopped: there is nobody who could depose it")
		}
		h, m := e.helper(), e.member("m", nil)
		token := h.wins()
		require.Equal(e, "true true", h.asked("valid"))
		require.Equal(e, "true <nil>", h.asked("write"))
		m.run().waits()
		h.stopBetweenWrites()
		term := m.wins(shortest)
		assert.Greater(e, term.Token, token)
		require.NoError(e, write(e.Context(), e.app, m.opened, term.Term))
		e.leads(m, "m", term.Token)

		h.signal(syscall.SIGCONT)
		assert.Equal(e, "false false", h.asked("valid"))
		assert.Regexp(e, "^false .*lost", h.asked("write"))
		assert.Regexp(e, "^true ", h.tells("demoted"), "because of a loss")
		assert.Equal(e, 2, e.checkJournal())
		require.NoError(e, m.IsLeader(e.Context()))

		m.sees("helper")
		require.NoError(e, m.Resign(e.Context()))
		assert.Greater(e, h.wins(), term.Token, "it takes part again")
	})
}

// TestProcessesFollowEachOther has processes lead in turn, by resignation and by death, of which one writes as fast as it can.
func TestProcessesFollowEachOther(t *testing.T) {
	onProcesses(t, func(e *election) {
		h := e.helper()
		first := h.wins()
		m := e.member("m", nil)
		m.act = func(term mandate) error {
			for term.ctx.Err() == nil {
				if err := write(term.ctx, e.app, m.opened, term.Term); err != nil && term.ctx.Err() == nil {
					return err
				}
			}
			return nil
		}
		m.run().waits()
		require.Equal(e, "<nil>", h.asked("resign"))
		second := m.wins(0)
		assert.Greater(e, second.Token, first)
		m.sees("helper")
		require.NoError(e, m.Resign(e.Context()))
		third := h.wins()
		assert.Greater(e, third, second.Token)
		require.Equal(e, "true <nil>", h.asked("write"))
		h.signal(syscall.SIGKILL)
		assert.Greater(e, m.wins(shortest).Token, third)
		require.NoError(e, m.Resign(e.Context()))
		assert.NotZero(e, e.checkJournal())
	})
}
