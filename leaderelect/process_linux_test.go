package leaderelect_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/sqllock/toolkit/leaderelect"
	"github.com/sqllock/toolkit/sqllock"
)

// envPart makes [TestHelper] take part in the election of another test process.
const envPart = "SQLLOCK_ELECTION_PART"

// part is which candidate a process is.
type part struct {
	Backend, DSN, ID string
	TTL              time.Duration
}

// TestHelper is not a test: it is what other tests run in a process of its own.
func TestHelper(t *testing.T) {
	env := os.Getenv(envPart)
	if env == "" {
		t.Skip("only runs inside other tests")
	}
	if err := serve(env); err != nil {
		fmt.Println("failed:", err)
	}
	os.Exit(0)
}

// monotonic is a clock that all processes of a machine share.
func monotonic() time.Duration {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		panic(err) // there is no Linux without it
	}
	return time.Duration(now.Nano())
}

// serve is the inside of a helper: a candidate that tells its terms, and answers questions, for as long as somebody can ask.
func serve(env string) error {
	var p part
	if err := json.Unmarshal([]byte(env), &p); err != nil {
		return err
	}
	b := everyBackend[slices.IndexFunc(everyBackend, func(b backend) bool { return b.name == p.Backend })]
	ctx := context.Background()
	locks, opened, err := b.client(p.DSN, p.ID, p.TTL, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	db, err := b.db(p.DSN)
	if err != nil {
		return err
	}
	var mu sync.Mutex
	var term leaderelect.Term
	elector, err := leaderelect.New(locks, "election", leaderelect.Config{
		Value: map[string]string{"address": "of " + p.ID}, StandBack: 100 * time.Millisecond, ObserveInterval: 20 * time.Millisecond,
		OnElected: func(ctx context.Context, elected leaderelect.Term) error {
			at := monotonic()
			mu.Lock()
			term = elected
			mu.Unlock()
			fmt.Println("elected", elected.Token, int64(at))
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
	run := func() {
		until, stop := signal.NotifyContext(ctx, syscall.SIGTERM)
		go func() {
			defer stop()
			if err := elector.Run(until); err != nil {
				fmt.Println("failed:", err)
				return
			}
			fmt.Println("ended")
		}()
	}
	run()
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
		case "run":
			run()
			fmt.Println("run")
		case "observe":
			go observe(elector)
			fmt.Println("observe")
		}
	}
	return nil
}

// observe tells each leader that a helper sees.
func observe(elector *leaderelect.Elector) {
	for l, err := range elector.Observe(context.Background()) {
		if err == nil {
			fmt.Println("sees", l.ID, l.Token, l.Value["address"])
		} else if !errors.Is(err, sqllock.ErrNoLeader) {
			fmt.Println("failed:", err)
		}
	}
}

// helper is a candidate in another process.
type helper struct {
	e     *election
	id    string
	cmd   *exec.Cmd
	input io.WriteCloser
	lines chan string
	told  map[string][]string // and not yet asked for, by kind
}

func (e *election) helper() *helper {
	e.Helper()
	return e.process("helper", shortest)
}

// process starts a helper whose lock, if that is a lease, ends after ttl when the process is killed or stopped.
func (e *election) process(id string, ttl time.Duration) *helper {
	e.Helper()
	env, err := json.Marshal(part{Backend: e.name, DSN: e.dsn, ID: id, TTL: ttl})
	require.NoError(e, err)
	cmd := exec.CommandContext(e.Context(), os.Args[0], "-test.run=^TestHelper$", "-test.count=1")
	cmd.Env = append(os.Environ(), envPart+"="+string(env))
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // one that is stopped notices nothing
	input, err := cmd.StdinPipe()
	require.NoError(e, err)
	output, err := cmd.StdoutPipe()
	require.NoError(e, err)
	require.NoError(e, cmd.Start())
	h := &helper{e: e, id: id, cmd: cmd, input: input, lines: make(chan string, 100), told: make(map[string][]string)}
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
			h.hear(line, ok)
		case <-timeout:
			h.e.Fatalf("%s tells nothing of %q within %v", h.id, kind, slack)
		}
	}
	rest := h.told[kind][0]
	h.told[kind] = h.told[kind][1:]
	return rest
}

// hear keeps a line until it is asked for.
func (h *helper) hear(line string, ok bool) {
	h.e.Helper()
	require.True(h.e, ok, "the helper has ended")
	require.False(h.e, strings.HasPrefix(line, "failed:"), line)
	of, rest, _ := strings.Cut(line, " ")
	h.told[of] = append(h.told[of], rest)
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
	token, _ = h.elected()
	return token
}

// elected waits for a term of the helper, and returns when OnElected was called, too.
func (h *helper) elected() (token int64, at time.Duration) {
	h.e.Helper()
	_, err := fmt.Sscan(h.tells("elected"), &token, (*int64)(&at))
	require.NoError(h.e, err)
	return token, at
}

// oneWins waits for a term of any of the helpers.
func (e *election) oneWins(helpers ...*helper) (winner *helper, token int64) {
	e.Helper()
	e.eventually(func() bool {
		for _, h := range helpers {
			select {
			case line, ok := <-h.lines:
				h.hear(line, ok)
			default:
			}
			if len(h.told["elected"]) > 0 {
				winner, token = h, h.wins()
				return true
			}
		}
		return false
	}, "one of the helpers is elected")
	return winner, token
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
	onBackends(t, func(e *election) {
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
	onBackends(t, func(e *election) {
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
	onBackends(t, func(e *election) {
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
