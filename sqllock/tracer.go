package sqllock

import (
	"context"
	"time"
)

// Tracer is told of everything a [Client] does, for metrics and traces. Its methods are called in the goroutine of the
// caller (TraceLost: of the session) and must not block. The context that a Start method returns is the one that the matching End
// method gets. Embed [NopTracer] to implement only some methods.
type Tracer interface {
	TraceAcquireStart(ctx context.Context, data AcquireStart) context.Context
	TraceAcquireEnd(ctx context.Context, data AcquireEnd)
	TraceReleaseStart(ctx context.Context, data ReleaseStart) context.Context
	TraceReleaseEnd(ctx context.Context, data ReleaseEnd)
	TraceLost(data LostData)
}

// AcquireStart is what is known when a lock is asked for. AcquireAll traces each of its names.
type AcquireStart struct {
	Name string
	Mode Mode
	Try  bool // a single attempt
}

// AcquireEnd is how the asking ended. Err is nil if the lock was granted.
type AcquireEnd struct {
	Name  string
	Token int64
	Err   error
}

// ReleaseStart is what is known when a lock is given up by its holder.
type ReleaseStart struct {
	Name  string
	Token int64
	Held  time.Duration // since it was granted
}

// ReleaseEnd is how giving it up ended.
type ReleaseEnd struct {
	Name string
	Err  error
}

// LostData tells of a lock that ended without its holder's Release.
type LostData struct {
	Name  string
	Token int64
	Held  time.Duration
	Err   error // a *LostError
}

// NopTracer does nothing.
type NopTracer struct{}

// TraceAcquireStart returns ctx.
func (NopTracer) TraceAcquireStart(ctx context.Context, _ AcquireStart) context.Context { return ctx }

// TraceAcquireEnd does nothing.
func (NopTracer) TraceAcquireEnd(context.Context, AcquireEnd) {}

// TraceReleaseStart returns ctx.
func (NopTracer) TraceReleaseStart(ctx context.Context, _ ReleaseStart) context.Context { return ctx }

// TraceReleaseEnd does nothing.
func (NopTracer) TraceReleaseEnd(context.Context, ReleaseEnd) {}

// TraceLost does nothing.
func (NopTracer) TraceLost(LostData) {}
