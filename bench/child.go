package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"
)

// A child is the other end of a process.
type child struct {
	locks     locker
	unlock    func(context.Context) error
	candidate candidate

	mu  sync.Mutex
	out *json.Encoder
}

func isChild() bool { return os.Getenv(envPart) != "" }

// serveParent does what the parent asks for on standard input, for as long as that is open.
func serveParent() {
	c := &child{out: json.NewEncoder(os.Stdout)}
	ctx := context.Background()
	err := c.open(ctx)
	c.reply("open", monotonic(), err)
	if err != nil {
		return
	}
	asked := make(chan string)
	go func() {
		for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
			asked <- lines.Text()
		}
		os.Exit(0) // nobody is there any more, whatever we wait for
	}()
	for verb := range asked {
		at, err := c.do(ctx, verb)
		c.reply(verb, at, err)
		if verb == "close" {
			return
		}
	}
}

func (c *child) open(ctx context.Context) error {
	var p part
	if err := json.Unmarshal([]byte(os.Getenv(envPart)), &p); err != nil {
		return err
	}
	all := contestants()
	i := slices.IndexFunc(all, func(c contestant) bool { return c.name == p.Contestant })
	if i < 0 {
		return fmt.Errorf("there is no contestant %q", p.Contestant)
	}
	var err error
	if p.Candidate {
		c.candidate, err = all[i].stand(ctx, p.Address, p.Options)
		return err
	}
	if c.locks, err = all[i].open(ctx, p.Address, p.Options); err != nil {
		return err
	}
	return cycle(ctx, c.locks, fmt.Sprintf("warm-up-%d", os.Getpid()))
}

func (c *child) do(ctx context.Context, verb string) (at time.Duration, err error) {
	switch verb {
	case "lock":
		c.unlock, err = c.locks.Lock(ctx, contended)
		return monotonic(), err
	case "unlock":
		at = monotonic()
		return at, c.unlock(ctx)
	case "campaign":
		go func() {
			err := c.candidate.Campaign(ctx, func() { c.reply("elected", monotonic(), nil) })
			c.reply("ended", monotonic(), err)
		}()
		return monotonic(), nil
	case "resign":
		at = monotonic()
		return at, c.candidate.Resign(ctx)
	case "close":
		if c.locks != nil {
			err = c.locks.Close()
		}
		return monotonic(), err
	}
	return 0, errors.New("unknown verb")
}

func (c *child) reply(verb string, at time.Duration, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := reply{Verb: verb, At: at}
	if err != nil {
		r.Err = err.Error()
	}
	_ = c.out.Encode(r) // a parent that is gone ends us in another way
}
