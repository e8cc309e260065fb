package locktest

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/sqllock/toolkit/sqllock"
)

// helper is the inside of a helper process.
type helper struct {
	subject Subject
	ctx     context.Context
	backend sqllock.Backend
	client  *sqllock.Client
	can     sqllock.Capabilities
	db      *sql.DB

	mu      sync.Mutex
	locks   []*sqllock.Lock
	tx      *sql.Tx
	counted int
	paused  chan error    // what awaitPause has seen
	stopped chan struct{} // closed by the program stop
}

// programs are what a helper process can be asked to do. Those of one claim stand beside it.
var programs = map[string]func(*helper, request) (reply, error){
	"open":           open,
	"acquire":        acquire,
	"release":        release,
	"stop":           stop,
	"rounds":         rounds,
	"awaitPause":     awaitPause,
	"afterPause":     afterPause,
	"guard":          guard,
	"commit":         commit,
	"holdMany":       holdMany,
	"stillHeld":      stillHeld,
	"loop":           loop,
	"counted":        counted,
	"read":           read,
	"publish":        publish,
	"sets":           sets,
	"openAndClose":   openAndClose,
	"goroutinesOver": goroutinesOver,
}

// serve runs programs until the test process has closed its end of the pipe, and ends the process.
func serve(s Subject) {
	requests, replies := os.NewFile(3, "requests"), os.NewFile(4, "replies")
	h := &helper{subject: s, ctx: context.Background(), stopped: make(chan struct{})}
	var writing sync.Mutex
	in, out := json.NewDecoder(requests), json.NewEncoder(replies)
	for {
		var r request
		if err := in.Decode(&r); err != nil {
			os.Exit(0)
		}
		go func() {
			answer, err := h.run(r)
			answer.ID, answer.Failure = r.ID, newFailure(err)
			writing.Lock()
			defer writing.Unlock()
			_ = out.Encode(answer)
		}()
	}
}

func (h *helper) run(r request) (reply, error) {
	program := programs[r.Program]
	if program == nil {
		return reply{}, fmt.Errorf("there is no program %q", r.Program)
	}
	return program(h, r)
}

func open(h *helper, r request) (_ reply, err error) {
	if h.db, err = h.subject.DB(r.DSN); err != nil {
		return reply{}, err
	}
	if h.backend, _, err = h.subject.Backend(r.DSN); err != nil {
		return reply{}, err
	}
	h.can = h.backend.Capabilities()
	opts := []sqllock.ClientOption{sqllock.Owner(r.Owner)}
	if r.TTL != 0 {
		opts = append(opts, sqllock.TTL(r.TTL))
	}
	h.client = sqllock.New(h.backend, opts...)
	return reply{}, h.client.Ping(h.ctx)
}

func acquire(h *helper, r request) (reply, error) {
	opts := mode(r.Mode, r.Permits)
	if r.AtLeast != 0 {
		opts = append(opts, sqllock.AtLeast(r.AtLeast))
	}
	l, err := h.client.Acquire(h.ctx, r.Name, opts...)
	if err != nil {
		return reply{}, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.locks = append(h.locks, l)
	return reply{Lock: len(h.locks) - 1, Token: l.Token(), Deadline: l.Deadline()}, nil
}

func (h *helper) lock(i int) *sqllock.Lock {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.locks[i]
}

func release(h *helper, r request) (reply, error) {
	return reply{}, h.lock(r.Lock).Release(h.ctx)
}

// stop ends programs that run until they are told to.
func stop(h *helper, _ request) (reply, error) {
	close(h.stopped)
	return reply{}, nil
}

func (h *helper) running() bool {
	select {
	case <-h.stopped:
		return false
	default:
		return true
	}
}

// awaitPause starts to wait until this process has been stopped for so long, and then asks one thing only.
func awaitPause(h *helper, r request) (reply, error) {
	l := h.lock(r.Lock)
	h.paused = make(chan error, 1)
	last := time.Now()
	go func() {
		// It does not sleep: it would be woken together with the timers that may end the lock.
		for now := last; now.Sub(last) < r.For; now = time.Now() {
			last = now
		}
		h.paused <- l.Err()
	}()
	return reply{}, nil
}

// afterPause tells what the answer was.
func afterPause(h *helper, _ request) (reply, error) { return reply{}, <-h.paused }

// mode is the option that asks for a mode.
func mode(m sqllock.Mode, permits int) []sqllock.Option {
	switch m {
	case sqllock.ModeShared:
		return []sqllock.Option{sqllock.Shared()}
	case sqllock.ModePermit:
		return []sqllock.Option{sqllock.Permits(permits)}
	default:
		return nil
	}
}
