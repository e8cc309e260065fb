package locktest

import (
	"context"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sqllock/toolkit/sqllock"
)

func doReleasesOnPanic(a *arena) {
	p, other := a.party("p"), a.party("other")
	var inner context.Context
	require.PanicsWithValue(a, "mine", func() {
		_ = p.Do(a.ctx, "n", func(ctx context.Context) error {
			inner = ctx
			panic("mine")
		})
	})
	a.within(slack, inner.Done(), "the context ends with Do")
	a.release(a.soon(other, "n"))
}

func locksShowHoldersAndWaiters(a *arena) {
	metadata := map[string]string{"why": `it's "quoted" \ and é`, "": "empty key", "empty value": ""}
	p, waiter := a.party("the holder"), a.party("the waiter")
	var opts []sqllock.Option
	if a.can.Metadata {
		opts = append(opts, sqllock.Metadata(metadata))
	} else {
		a.unsupported(sqllock.Metadata(metadata))
	}
	before := time.Now()
	for _, m := range a.modes() {
		name := m.String()
		l := a.acquire(p, name, append(mode(m, 3), opts...)...)
		w := a.waits(waiter, name)
		infos := a.infos(waiter, name)
		require.Len(a, infos, 2)
		held, waits := infos[0], infos[1]

		assert.False(a, held.Waiting)
		assert.Equal(a, m, held.Mode)
		if a.can.Metadata || held.Token != 0 { // a database that knows sessions only tells less
			assert.Equal(a, l.Token(), held.Token)
		}
		if m == sqllock.ModePermit && (a.can.Metadata || held.Permits != 0) {
			assert.Equal(a, 3, held.Permits)
		}
		if a.can.Metadata {
			assert.Equal(a, "the holder", held.Owner)
			assert.Equal(a, metadata, held.Metadata)
			assert.Equal(a, "the waiter", waits.Owner)
			assert.WithinDuration(a, before, held.Since, claimTimeout)
			assert.WithinDuration(a, before, waits.Since, claimTimeout)
		}
		if a.can.Leases {
			assert.WithinDuration(a, before.Add(longTTL), held.Expires, longTTL)
			assert.Zero(a, held.Keep)
			assert.WithinDuration(a, time.Now().Add(longTTL), l.Deadline(), longTTL)
			assert.False(a, l.Deadline().After(held.Expires), "a holder gives up before others may come")
		}
		assert.True(a, waits.Waiting)
		assert.Equal(a, sqllock.ModeExclusive, waits.Mode)
		a.release(l)
		a.release(a.granted(w))
	}
	a.eventually(func() bool {
		infos, err := p.Locks(a.ctx)
		require.NoError(a, err)
		return len(infos) == 0
	}, "what was released is not listed")

	large := map[string]string{"k": string(make([]byte, sqllock.MaxMetadata))}
	for _, bad := range []map[string]string{large, {"k": "\xff"}, {"a\x00": ""}} {
		_, err := p.TryAcquire(a.ctx, "n", sqllock.Metadata(bad))
		require.ErrorIs(a, err, sqllock.ErrInvalid)
	}
}
