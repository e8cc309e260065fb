package sqllock

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// diary is a Tracer that writes down what it is told. Each End is given the number of its Start.
type diary struct {
	mu      sync.Mutex
	n       int
	entries []string
}

type numberKey struct{}

func (d *diary) write(format string, args ...any) {
	d.entries = append(d.entries, fmt.Sprintf(format, args...))
}

func (d *diary) read() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	entries := d.entries
	d.entries = nil
	return entries
}

func (d *diary) start(ctx context.Context, format string, args ...any) context.Context {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.n++
	d.write("%d "+format, append([]any{d.n}, args...)...)
	return context.WithValue(ctx, numberKey{}, d.n)
}

func (d *diary) end(ctx context.Context, format string, args ...any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.write("%v "+format, append([]any{ctx.Value(numberKey{})}, args...)...)
}

func (d *diary) TraceAcquireStart(ctx context.Context, a AcquireStart) context.Context {
	return d.start(ctx, "acquire %s %v try=%v", a.Name, a.Mode, a.Try)
}

func (d *diary) TraceAcquireEnd(ctx context.Context, a AcquireEnd) {
	d.end(ctx, "acquired %s token=%d %v", a.Name, a.Token, a.Err)
}

func (d *diary) TraceReleaseStart(ctx context.Context, r ReleaseStart) context.Context {
	return d.start(ctx, "release %s token=%d", r.Name, r.Token)
}

func (d *diary) TraceReleaseEnd(ctx context.Context, r ReleaseEnd) {
	d.end(ctx, "released %s %v", r.Name, r.Err)
}

func (d *diary) TraceLost(l LostData) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.write("lost %s token=%d %v", l.Name, l.Token, l.Err)
}

func TestTracerSeesEachStartWithItsEnd(t *testing.T) {
	b, d := newFakeBackend(), new(diary)
	c := b.client(t, WithTracer(d))
	l := acquire(t, c, "n", Shared())
	require.NoError(t, l.Release(t.Context()))
	require.NoError(t, l.Release(t.Context()))
	assert.Equal(t, []string{
		"1 acquire n shared try=false", "1 acquired n token=1 <nil>", "2 release n token=1", "2 released n <nil>",
	}, d.read(), "a second Release is nothing")

	b.take("n", true)
	_, err := c.TryAcquire(t.Context(), "n")
	require.Error(t, err)
	assert.Equal(t, []string{"3 acquire n exclusive try=true", "3 acquired n token=0 " + err.Error()}, d.read())

	b.tryErr = errWire
	_, err = c.AcquireAll(t.Context(), []string{"b", "a"})
	require.Error(t, err)
	assert.Equal(t, []string{
		"4 acquire a exclusive try=false", "5 acquire b exclusive try=false", "4 acquired a token=0 " + err.Error(), "5 acquired b token=0 " + err.Error(),
	}, d.read())
	b.tryErr = nil

	s := acquireAll(t, c, "b", "a")
	require.NoError(t, s.Release(t.Context()))
	entries := d.read()
	require.Len(t, entries, 8)
	assert.ElementsMatch(t, []string{"8 release a token=2", "9 release b token=3", "8 released a <nil>", "9 released b <nil>"}, entries[4:])
}

func TestTracerSeesALossOnce(t *testing.T) {
	b, d := newFakeBackend(), new(diary)
	c := b.client(t, WithTracer(d))
	l := acquire(t, c, "n")
	d.read()
	b.lose(l, ErrForced, true)
	require.ErrorIs(t, l.Err(), ErrLost)
	require.ErrorIs(t, l.Release(t.Context()), ErrLost)
	assert.Equal(t, []string{`lost n token=1 sqllock: lock "n" lost: released by force`}, d.read())

	acquire(t, c, "m")
	d.read()
	require.NoError(t, c.Close(t.Context()))
	assert.Empty(t, d.read(), "what ends with the Client is not lost")
}
