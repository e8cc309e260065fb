package sqllock

import (
	"context"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

// FuzzRequest: what is asked for reaches the backend byte for byte, or is refused as invalid before the backend hears of anything.
func FuzzRequest(f *testing.F) {
	for _, text := range []string{
		"n", "", "\x00", "\xff", "a\xc3", "\xed\xa0\x80", "'; --", `"`, `\`, "\ufffd", "é", "\n",
		strings.Repeat("x", MaxName), strings.Repeat("x", MaxName+1), strings.Repeat("\xff", MaxName), strings.Repeat("é", MaxMetadata/2), strings.Repeat("\xff", MaxMetadata),
	} {
		f.Add(text, "owner", "key", "value", int64(time.Second), int64(0), 1)
		f.Add("n", text, "key", "value", int64(-1), int64(-1), 0)
		f.Add("n", "owner", text, text, int64(MaxTTL), int64(366*24*time.Hour), 1<<20)
		f.Add("n", "owner", "key", text, int64(MaxTTL)+1, int64(367*24*time.Hour), 1<<20+1)
	}
	f.Fuzz(func(t *testing.T, name, owner, key, value string, ttl, atLeast int64, permits int) {
		text := func(s string) bool { return utf8.ValidString(s) && !strings.Contains(s, "\x00") }
		named := text(name) && name != "" && len(name) <= MaxName
		tells := text(key) && text(value) && len(key)+len(value) <= MaxMetadata
		valid := named && text(owner) && len(owner) <= MaxName && tells && permits >= 1 && permits <= 1<<20 && atLeast >= 0 && atLeast <= int64(366*24*time.Hour) &&
			ttl >= int64(MinTTL) && ttl <= int64(MaxTTL)

		ctx := t.Context()
		b := newFakeBackend()
		c := New(b, Owner(owner))
		defer func() { require.NoError(t, c.Close(context.Background())) }()
		opts := []Option{Metadata(map[string]string{key: value}), TTL(time.Duration(ttl)), AtLeast(time.Duration(atLeast)), Permits(permits)}
		for _, ask := range []func() (*Lock, error){
			func() (*Lock, error) { return c.Acquire(ctx, name, opts...) },
			func() (*Lock, error) { return c.TryAcquire(ctx, name, opts...) },
			func() (*Lock, error) {
				set, err := c.AcquireAll(ctx, []string{name}, opts...)
				if err != nil {
					return nil, err
				}
				return set.Locks()[0], nil
			},
		} {
			l, err := ask()
			calls := b.log()
			if !valid {
				require.ErrorIs(t, err, ErrInvalid)
				require.Nil(t, l)
				require.Empty(t, calls)
				require.Less(t, len(err.Error()), 8*MaxName, "not even an error carries all of a text without end")
				require.True(t, utf8.ValidString(err.Error()), "an error can be logged: %q", err)
				continue
			}
			require.NoError(t, err)
			require.Equal(t, []string{"try " + name}, calls)
			require.Equal(t, name, l.Name())
			req := l.Hold().(*fakeHold).req
			require.Equal(t, map[string]string{key: value}, req.Metadata)
			require.Equal(t, []any{name, b.Key(name), ModePermit, permits, time.Duration(ttl), time.Duration(atLeast)},
				[]any{req.Name, req.Key, req.Mode, req.Permits, req.TTL, req.AtLeast})
			if !tells {
				require.ErrorIs(t, l.Publish(ctx, map[string]string{key: value}), ErrInvalid)
			}
			require.NoError(t, l.Release(ctx))
			b.log()
		}
		for _, err := range []error{c.ForceRelease(ctx, name), func() error { _, err := c.Leader(ctx, name); return err }()} {
			require.Equal(t, !named || c.broken != nil, isInvalid(err), "%v", err)
		}
	})
}

func isInvalid(err error) bool {
	return err != nil && strings.Contains(err.Error(), ErrInvalid.Error())
}
