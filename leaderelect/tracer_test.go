package leaderelect_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sqllock/toolkit/leaderelect"
)

type spanKey struct{}

// tracing writes down what it is told, and checks that contexts are handed on.
type tracing struct {
	leaderelect.NopTracer
	t   *testing.T
	all []string
}

func (r *tracing) TraceCampaignStart(ctx context.Context, d leaderelect.CampaignStart) context.Context {
	r.all = append(r.all, "campaign "+d.Name)
	return context.WithValue(ctx, spanKey{}, "campaign")
}

func (r *tracing) TraceCampaignEnd(ctx context.Context, d leaderelect.CampaignEnd) {
	assert.Equal(r.t, "campaign", ctx.Value(spanKey{}))
	r.all = append(r.all, fmt.Sprint("campaigned ", d.Token, d.Err))
}

func (r *tracing) TraceTermStart(ctx context.Context, d leaderelect.TermStart) context.Context {
	r.all = append(r.all, fmt.Sprint("term ", d.Token))
	return context.WithValue(ctx, spanKey{}, "term")
}

func (r *tracing) TraceTermEnd(ctx context.Context, d leaderelect.TermEnd) {
	assert.Equal(r.t, "term", ctx.Value(spanKey{}))
	r.all = append(r.all, fmt.Sprint("led ", d.Token, " for ", d.Led, ": ", d.Reason))
}

func TestTracerIsToldOfCampaignsAndTerms(t *testing.T) {
	play(t, func(s *scene) {
		r := &tracing{t: s.T}
		a := s.candidate("a", func(c *leaderelect.Config) {
			c.Tracer = r
			c.OnElected = func(ctx context.Context, _ leaderelect.Term) error {
				assert.Equal(s, "term", ctx.Value(spanKey{}))
				time.Sleep(time.Minute)
				return errTest
			}
		}).run()
		time.Sleep(time.Minute)
		a.follows(1)
		a.leave()
		require.Equal(s, []string{"campaign election", "campaigned 1 <nil>", "term 1", "led 1 for 1m0s: a failure"}, r.all)
	})
}
