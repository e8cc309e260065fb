package main

import (
	"context"
	"sync"
	"time"
)

// A renewal keeps alive a lease whose library leaves that to the caller: every third of its TTL, from a timer.
type renewal struct {
	mu    sync.Mutex
	timer *time.Timer
	ended bool
	err   error // why the lease is not certain any more
}

func renew(ttl time.Duration, extend func(context.Context) error) *renewal {
	r := &renewal{}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.timer = time.AfterFunc(ttl/3, func() {
		ctx, cancel := context.WithTimeout(context.Background(), ttl)
		defer cancel()
		err := extend(ctx)
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.ended {
			return // the release may have been faster
		}
		if r.err = err; err == nil {
			r.timer.Reset(ttl / 3)
		}
	})
	return r
}

// end returns why the lease was lost meanwhile, if it was.
func (r *renewal) end() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ended = true
	r.timer.Stop()
	return r.err
}

// await is how those wait who are told nothing: they try again after a pause.
func await(ctx context.Context, pause time.Duration, try func() (bool, error)) error {
	for {
		if ok, err := try(); ok || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(pause):
		}
	}
}
