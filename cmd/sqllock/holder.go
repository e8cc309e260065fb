package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/pflag"

	"github.com/sqllock/toolkit/sqllock"
)

// holder runs commands under a lock: what exec and elect have in common.
type holder struct {
	*cli
	backend     string
	ttl         time.Duration
	killAfter   time.Duration
	owner       string
	interrupted bool // a command was sent a signal that was meant for us
}

func (h *holder) register(f *pflag.FlagSet) {
	f.StringVar(&h.backend, "backend", "", "how the lock is kept: advisory (the default on PostgreSQL), named (on MySQL) or table (on SQLite)")
	f.DurationVar(&h.ttl, "ttl", sqllock.DefaultTTL, "after a crash the lock is free in at most this time; of --backend table")
	f.DurationVar(&h.killAfter, "kill-after", 0, "time between TERM and KILL when the lock is lost (default: a quarter of --ttl, at most 10s; 3.75s for session locks)")
	f.StringVar(&h.owner, "owner", "", "how this process calls itself in the database (default: HOST/PID)")
}

// check checks the flags, and fills in what depends on others.
func (h *holder) check(given func(flag string) bool) error {
	if h.ttl < sqllock.MinTTL || h.ttl > sqllock.MaxTTL {
		return fmt.Errorf("--ttl %v: the time is between %v and %v", h.ttl, sqllock.MinTTL, sqllock.MaxTTL)
	}
	if h.owner == "" {
		h.owner = sqllock.DefaultOwner()
	}
	if !given("kill-after") {
		h.killAfter = min(h.ttl/4, 10*time.Second)
	}
	// A renewal that succeeds in time leaves more than half of the TTL: the grace must fit into what is left when one has failed.
	if h.killAfter < 0 || h.killAfter > h.ttl/3 {
		return fmt.Errorf("--kill-after %v: the time is between 0 and %v, a third of --ttl, or of a session lock's %v", h.killAfter, h.ttl/3, sessionTimeout)
	}
	return nil
}

// open makes the Client, in the database that the flags name. It does no I/O.
func (h *holder) open(ctx context.Context, given func(flag string) bool) (locks *sqllock.Client, disconnect func(), err error) {
	db, err := h.target.database(h.warn)
	if err != nil {
		return nil, nil, err
	}
	backend, disconnect, err := h.target.backend(ctx, db, h.backend)
	if err != nil {
		return nil, nil, err
	}
	if !backend.Capabilities().Leases {
		for _, flag := range []string{"ttl", "at-least"} {
			if given(flag) {
				return nil, nil, usage(fmt.Errorf("--%s is for leases, and a session lock ends with its session: it needs --backend %s", flag, kindTable))
			}
		}
	}
	opts := []sqllock.ClientOption{sqllock.Owner(h.owner), h.logger()}
	if given("ttl") {
		opts = append(opts, sqllock.TTL(h.ttl))
	}
	return sqllock.New(backend, opts...), disconnect, nil
}
