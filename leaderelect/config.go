package leaderelect

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/sqllock/toolkit/sqllock"
)

// Config is what a candidate does and tells. The zero value is one that leads without doing anything, for those who only ask [Elector.IsLeader].
//
// OnElected and OnDemoted are called in the goroutine of Run, one after the other; OnLeaderChange and Health in others.
type Config struct {
	// ID is how the candidate names itself to others. The default is the Client's [sqllock.Owner].
	ID string

	// Value is published with the ID for as long as the candidate leads: an address to forward to, for instance. With the ID it has at most
	// [sqllock.MaxMetadata] bytes.
	Value map[string]string

	// OnElected is called when a term begins, and what it does is the term: when it returns, the term is over. It must return soon after
	// ctx has ended, because the lock is held until it does. The cause of ctx says why: an error that matches [sqllock.ErrLost], [ErrResigned],
	// [ErrUnhealthy], or the cause of Run's context. An error that it returns of its own is logged, told to OnDemoted, and leads to a pause. Nil: the
	// term lasts until something else ends it.
	OnElected func(ctx context.Context, term Term) error

	// OnDemoted is called once for each OnElected that was called, after that has returned and the lock was released. reason is why the term
	// has ended, joined with the error that OnElected returned of its own; nil if it returned nil of its own.
	OnDemoted func(term Term, reason error)

	// OnLeaderChange is told of each leader that this elector sees while it runs, itself included: the zero Leader is nobody. It is called in a
	// goroutine of its own, once at a time. Leaders that follow each other faster than it returns, or than [Elector.Observe] sees them, are left out.
	OnLeaderChange func(leader Leader)

	// Health is asked before each campaign, after each election and every HealthInterval of a term. If it returns an error, or has not
	// returned after HealthInterval, the candidate gives up, and stands back; the first time in a row that is logged. It must return when ctx ends.
	Health func(ctx context.Context) error

	// HealthInterval is between 1ms and 1h. The default is 5s.
	HealthInterval time.Duration

	// StandBack is for how long who has resigned, was unhealthy, or has returned from OnElected does not campaign, so that others are elected. It is
	// between 1ms and 24h. The default is 5s.
	StandBack time.Duration

	// MaxBackoff is the longest pause after failures in a row. It is between 1ms and 1h. The default is 30s.
	MaxBackoff time.Duration

	// ObserveInterval is about how long [Elector.Observe] sleeps between two questions. It is between 1ms and 1h. The default is 1s.
	ObserveInterval time.Duration

	// Logger gets terms, and what ended them. The default is silence.
	Logger *slog.Logger

	// Tracer is told of campaigns and terms. The default is [NopTracer].
	Tracer Tracer
}

// idKey is where an ID is published beside the value. A leader without one is named by its Client.
const idKey = "sqllock.id"

// withDefaults fills in what was left out, and checks the rest.
func (c Config) withDefaults() (Config, error) {
	for _, d := range []struct {
		name       string
		value      *time.Duration
		preset, to time.Duration
	}{
		{"HealthInterval", &c.HealthInterval, 5 * time.Second, time.Hour},
		{"StandBack", &c.StandBack, 5 * time.Second, 24 * time.Hour},
		{"MaxBackoff", &c.MaxBackoff, 30 * time.Second, time.Hour},
		{"ObserveInterval", &c.ObserveInterval, time.Second, time.Hour},
	} {
		if *d.value == 0 {
			*d.value = d.preset
		}
		if *d.value < time.Millisecond || *d.value > d.to {
			return c, invalid("%s is %v, and has to be between %v and %v", d.name, *d.value, time.Millisecond, d.to)
		}
	}
	if c.OnElected == nil {
		c.OnElected = func(ctx context.Context, _ Term) error {
			<-ctx.Done()
			return nil
		}
	}
	if c.OnDemoted == nil {
		c.OnDemoted = func(Term, error) {}
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Tracer == nil {
		c.Tracer = NopTracer{}
	}
	return c, nil
}

// published is what is stored with the lock. Nil: the candidate has nothing to tell but that it leads.
func (c Config) published() (map[string]string, error) {
	if c.ID == "" && len(c.Value) == 0 {
		return nil, nil
	}
	all := make(map[string]string, len(c.Value)+1)
	if c.ID != "" {
		if len(c.ID) > sqllock.MaxName {
			return nil, invalid("the ID %.32q… has %d bytes, the limit is %d", c.ID, len(c.ID), sqllock.MaxName)
		}
		all[idKey] = c.ID
	}
	for k, v := range c.Value {
		if k == idKey {
			return nil, invalid("the key %q of the value is where the ID goes", k)
		}
		all[k] = v
	}
	size := 0
	for k, v := range all {
		for _, text := range []string{k, v} {
			if !utf8.ValidString(text) || strings.IndexByte(text, 0) >= 0 {
				return nil, invalid("%.32q: %.32q is not UTF-8 without U+0000", k, v)
			}
			size += len(text)
		}
	}
	if size > sqllock.MaxMetadata {
		return nil, invalid("ID and value have %d bytes, the limit is %d", size, sqllock.MaxMetadata)
	}
	return all, nil
}

func invalid(format string, args ...any) error {
	return fmt.Errorf("leaderelect: %w: %s", sqllock.ErrInvalid, fmt.Sprintf(format, args...))
}
