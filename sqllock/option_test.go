package sqllock

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestWhatCannotWorkIsRefusedBeforeTheBackendSeesIt(t *testing.T) {
	long := strings.Repeat("x", MaxName+1)
	for what, c := range map[string]struct {
		name string
		opts []Option
		want error
		can  Capabilities
	}{
		"an empty name":               {name: "", want: ErrInvalid, can: everything},
		"a name that is too long":     {name: long, want: ErrInvalid, can: everything},
		"a name that is no text":      {name: "\xff", want: ErrInvalid, can: everything},
		"a name with U+0000":          {name: "a\x00b", want: ErrInvalid, can: everything},
		"no permits":                  {name: "n", opts: []Option{Permits(0)}, want: ErrInvalid, can: everything},
		"too many permits":            {name: "n", opts: []Option{Permits(1<<20 + 1)}, want: ErrInvalid, can: everything},
		"a TTL that is too short":     {name: "n", opts: []Option{TTL(MinTTL - 1)}, want: ErrInvalid, can: everything},
		"a TTL that is too long":      {name: "n", opts: []Option{TTL(MaxTTL + 1)}, want: ErrInvalid, can: everything},
		"a negative wait":             {name: "n", opts: []Option{Wait(-1)}, want: ErrInvalid, can: everything},
		"a negative AtLeast":          {name: "n", opts: []Option{AtLeast(-1)}, want: ErrInvalid, can: everything},
		"AtLeast beyond a year":       {name: "n", opts: []Option{AtLeast(367 * 24 * time.Hour)}, want: ErrInvalid, can: everything},
		"metadata that is too large":  {name: "n", opts: []Option{Metadata(map[string]string{"k": strings.Repeat("v", MaxMetadata)})}, want: ErrInvalid, can: everything},
		"a key of metadata, no text":  {name: "n", opts: []Option{Metadata(map[string]string{"\xff": ""})}, want: ErrInvalid, can: everything},
		"a value with U+0000":         {name: "n", opts: []Option{Metadata(map[string]string{"k": "\x00"})}, want: ErrInvalid, can: everything},
		"an error that is made good":  {name: "n", opts: []Option{TTL(-1), TTL(time.Second)}, want: ErrInvalid, can: everything},
		"Shared on a simple backend":  {name: "n", opts: []Option{Shared()}, want: ErrUnsupported},
		"Permits on a simple backend": {name: "n", opts: []Option{Permits(2)}, want: ErrUnsupported},
		"TTL on a simple backend":     {name: "n", opts: []Option{TTL(time.Second)}, want: ErrUnsupported},
		"AtLeast on a simple backend": {name: "n", opts: []Option{AtLeast(time.Second)}, want: ErrUnsupported},
	} {
		t.Run(what, func(t *testing.T) {
			b := newFakeBackend()
			b.can = c.can
			client := b.client(t)
			ctx := context.Background()
			for how, ask := range map[string]func() error{
				"Acquire":    func() error { _, err := client.Acquire(ctx, c.name, c.opts...); return err },
				"TryAcquire": func() error { _, err := client.TryAcquire(ctx, c.name, c.opts...); return err },
				"AcquireAll": func() error { _, err := client.AcquireAll(ctx, []string{"fine", c.name}, c.opts...); return err },
				"Do":         func() error { return client.Do(ctx, c.name, nil, c.opts...) },
			} {
				err := ask()
				require.ErrorIs(t, err, c.want, how)
				require.NotErrorIs(t, err, ErrNotAcquired, how)
			}
			assert.Empty(t, b.log())
			assert.Empty(t, client.queue.lines)
		})
	}
}

func TestAcquireAllOfNothingIsInvalid(t *testing.T) {
	_, err := newFakeBackend().client(t).AcquireAll(context.Background(), nil)
	require.ErrorIs(t, err, ErrInvalid)
}

func TestLimitsThemselvesAreFine(t *testing.T) {
	b := newFakeBackend()
	c := b.client(t)
	for _, opts := range [][]Option{
		{TTL(MinTTL)},
		{TTL(MaxTTL)},
		{Permits(1)},
		{Permits(1 << 20)},
		{Wait(0)},
		{AtLeast(0)},
		{AtLeast(366 * 24 * time.Hour)},
		{Metadata(map[string]string{"k": strings.Repeat("v", MaxMetadata-1)})},
	} {
		l, err := c.Acquire(context.Background(), strings.Repeat("x", MaxName), opts...)
		require.NoError(t, err)
		require.NoError(t, l.Release(context.Background()))
	}
}

func TestBrokenConfigurationIsToldByEveryCall(t *testing.T) {
	errOpen := errors.New("no such thing")
	for what, c := range map[string]struct {
		opts    []ClientOption
		can     Capabilities
		openErr error
		want    error
	}{
		"an option":             {opts: []ClientOption{TTL(-1)}, can: everything, want: ErrInvalid},
		"an owner, no text":     {opts: []ClientOption{Owner("\xff")}, can: everything, want: ErrInvalid},
		"an owner, too long":    {opts: []ClientOption{Owner(strings.Repeat("x", MaxName+1))}, can: everything, want: ErrInvalid},
		"a TTL without leases":  {opts: []ClientOption{TTL(time.Minute)}, want: ErrUnsupported},
		"a backend that cannot": {can: everything, openErr: errOpen, want: errOpen},
	} {
		t.Run(what, func(t *testing.T) {
			b := newFakeBackend()
			b.can, b.openErr = c.can, c.openErr
			client := New(b, c.opts...)
			ctx := context.Background()
			for how, ask := range map[string]func() error{
				"Acquire":      func() error { _, err := client.Acquire(ctx, "n"); return err },
				"TryAcquire":   func() error { _, err := client.TryAcquire(ctx, "n"); return err },
				"AcquireAll":   func() error { _, err := client.AcquireAll(ctx, []string{"n"}); return err },
				"Do":           func() error { return client.Do(ctx, "n", nil) },
				"Ping":         func() error { return client.Ping(ctx) },
				"Locks":        func() error { _, err := client.Locks(ctx); return err },
				"ForceRelease": func() error { return client.ForceRelease(ctx, "n") },
				"Leader":       func() error { _, err := client.Leader(ctx, "n"); return err },
			} {
				require.ErrorIs(t, ask(), c.want, how)
			}
			require.NoError(t, client.Close(ctx))
			assert.Equal(t, c.openErr != nil, b.opened == 1)
			assert.Zero(t, b.closed)
		})
	}
}

func TestDefaultsOfAClientAreThoseOfItsCalls(t *testing.T) {
	b := newFakeBackend()
	c := b.client(t, TTL(time.Minute), Metadata(map[string]string{"k": "v"}), Wait(0))
	l, err := c.Acquire(context.Background(), "n")
	require.NoError(t, err)
	req := l.Hold().(*fakeHold).req
	assert.Equal(t, time.Minute, req.TTL)
	assert.Equal(t, map[string]string{"k": "v"}, req.Metadata)
	_, err = c.Acquire(context.Background(), "n")
	require.ErrorIs(t, err, ErrNotAcquired, "Wait(0) is one attempt")

	other, err := c.Acquire(context.Background(), "m", TTL(time.Hour))
	require.NoError(t, err)
	assert.Equal(t, time.Hour, other.Hold().(*fakeHold).req.TTL, "a call says it better")
}
