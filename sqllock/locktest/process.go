package locktest

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sqllock/toolkit/sqllock"
)

// helperEnv makes Run serve a test process instead of testing.
const helperEnv = "SQLLOCK_LOCKTEST_HELPER"

// process is a helper process with one Client. It runs what the test tells it over a pair of pipes, many things at a time,
// and can be stopped and killed.
type process struct {
	a   *arena
	cmd *exec.Cmd

	requests *json.Encoder
	writing  sync.Mutex

	mu      sync.Mutex
	id      int
	answers map[int]chan reply
	ended   bool
}

// request asks a helper process to run one of the programs. Each uses the fields that it needs.
type request struct {
	ID      int
	Program string

	DSN     string
	Owner   string
	TTL     time.Duration
	Name    string
	Names   []string
	Mode    sqllock.Mode
	Modes   []sqllock.Mode
	Permits int
	AtLeast time.Duration
	Lock    int // a reply's
	Query   string
	Count   int
	Workers int
	Seed    uint64
	For     time.Duration
}

type reply struct {
	ID      int
	Failure *failure

	Lock     int
	Token    int64
	Deadline time.Time
	Count    int
	Counts   []int
}

var errProcessEnded = errors.New("locktest: the helper process has ended")

// process starts a helper process and connects its Client to the database. A ttl of 0 is one that does not run out.
func (a *arena) process(owner string, ttl time.Duration) *process {
	a.Helper()
	if ttl == 0 {
		ttl = longTTL
	}
	if !a.can.Leases {
		ttl = 0
	}
	requestsOut, requestsIn, err := os.Pipe()
	require.NoError(a, err)
	repliesOut, repliesIn, err := os.Pipe()
	require.NoError(a, err)

	cmd := exec.CommandContext(a.ctx, os.Args[0], "-test.run="+onlyThisTest(a.Name()), "-test.count=1")
	cmd.Env = append(os.Environ(), helperEnv+"=1")
	cmd.Stderr = os.Stderr
	cmd.ExtraFiles = []*os.File{requestsOut, repliesIn}
	cmd.SysProcAttr = dieWithParent()
	require.NoError(a, cmd.Start())
	_ = requestsOut.Close()
	_ = repliesIn.Close()

	p := &process{a: a, cmd: cmd, requests: json.NewEncoder(requestsIn), answers: make(map[int]chan reply)}
	received := make(chan struct{})
	go func() {
		defer close(received)
		p.receive(json.NewDecoder(repliesOut))
	}()
	a.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		<-received
		_ = requestsIn.Close()
		_ = repliesOut.Close()
	})
	p.must(request{Program: "open", DSN: a.dsn, Owner: owner, TTL: ttl})
	return p
}

// onlyThisTest is the pattern that selects the test that called Run: the claim's subtest is one below it.
func onlyThisTest(claim string) string {
	parts := strings.Split(claim, "/")
	parts = parts[:len(parts)-1]
	for i, p := range parts {
		parts[i] = "^" + regexp.QuoteMeta(p) + "$"
	}
	return strings.Join(parts, "/")
}

func (p *process) receive(replies *json.Decoder) {
	for {
		var r reply
		if err := replies.Decode(&r); err != nil {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.ended = true
			for _, answer := range p.answers {
				close(answer)
			}
			p.answers = nil
			return
		}
		p.mu.Lock()
		answer := p.answers[r.ID]
		delete(p.answers, r.ID)
		p.mu.Unlock()
		answer <- r
	}
}

// start has a program run, and returns where its reply will arrive; the channel is closed if the process ends before.
func (p *process) start(r request) <-chan reply {
	answer := make(chan reply, 1)
	p.mu.Lock()
	if p.ended {
		p.mu.Unlock()
		close(answer)
		return answer
	}
	p.id++
	r.ID = p.id
	p.answers[r.ID] = answer
	p.mu.Unlock()
	p.writing.Lock()
	defer p.writing.Unlock()
	_ = p.requests.Encode(r) // an error means that the process has ended, which closes the channel
	return answer
}

// finish waits for the reply to start.
func (p *process) finish(answer <-chan reply) (reply, error) {
	p.a.Helper()
	select {
	case r, ok := <-answer:
		if !ok {
			return r, errProcessEnded
		}
		if r.Failure != nil {
			return r, r.Failure
		}
		return r, nil
	case <-p.a.ctx.Done():
		p.a.Fatal("the helper process does not answer")
		panic("unreachable")
	}
}

func (p *process) do(r request) (reply, error) {
	p.a.Helper()
	return p.finish(p.start(r))
}

func (p *process) must(r request) reply {
	p.a.Helper()
	got, err := p.do(r)
	require.NoError(p.a, err, r.Program)
	return got
}

// acquire takes a lock that is free, or will be.
func (p *process) acquire(r request) reply {
	p.a.Helper()
	r.Program = "acquire"
	return p.must(r)
}

// together runs the same program in all processes at once and fails with the first that fails.
func together(processes []*process, of func(i int) request) []reply {
	answers := make([]<-chan reply, len(processes))
	for i, p := range processes {
		answers[i] = p.start(of(i))
	}
	replies := make([]reply, len(processes))
	for i, p := range processes {
		p.a.Helper()
		var err error
		replies[i], err = p.finish(answers[i])
		require.NoError(p.a, err)
	}
	return replies
}

// stop freezes the process, as a debugger, a suspended machine or a starved host does; its connections stay open.
func (p *process) stop() {
	p.a.Helper()
	require.NoError(p.a, stopProcess(p.cmd.Process))
}

// resume lets a stopped process go on where it was.
func (p *process) resume() {
	p.a.Helper()
	require.NoError(p.a, resumeProcess(p.cmd.Process))
}

// kill ends the process as a crash does.
func (p *process) kill() {
	p.a.Helper()
	require.NoError(p.a, p.cmd.Process.Kill())
}
