package leaderelect

import (
	"context"
	"time"
)

// Tracer is told of everything an [Elector] does, for metrics and traces. Its methods are called in the goroutine of Run and must not
// block. The context that a Start method returns is the one that the matching End method gets, and OnElected gets one
// that is derived from that of TraceTermStart. Embed [NopTracer] to implement only some methods.
type Tracer interface {
	TraceCampaignStart(ctx context.Context, data CampaignStart) context.Context
	TraceCampaignEnd(ctx context.Context, data CampaignEnd)
	TraceTermStart(ctx context.Context, data TermStart) context.Context
	TraceTermEnd(ctx context.Context, data TermEnd)
}

// CampaignStart is what is known when a candidate begins to wait.
type CampaignStart struct {
	Name string
}

// CampaignEnd is how the waiting ended. Err is nil if the candidate was elected.
type CampaignEnd struct {
	Name  string
	Token int64
	Err   error
}

// TermStart is what is known before OnElected is called.
type TermStart struct {
	Name  string
	Token int64
}

// TermEnd is how the term ended, told before OnDemoted is.
type TermEnd struct {
	Name   string
	Token  int64
	Led    time.Duration
	Reason error // that of OnDemoted
}

// NopTracer does nothing.
type NopTracer struct{}

// TraceCampaignStart returns ctx.
func (NopTracer) TraceCampaignStart(ctx context.Context, _ CampaignStart) context.Context { return ctx }

// TraceCampaignEnd does nothing.
func (NopTracer) TraceCampaignEnd(context.Context, CampaignEnd) {}

// TraceTermStart returns ctx.
func (NopTracer) TraceTermStart(ctx context.Context, _ TermStart) context.Context { return ctx }

// TraceTermEnd does nothing.
func (NopTracer) TraceTermEnd(context.Context, TermEnd) {}
