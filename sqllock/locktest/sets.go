package locktest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sqllock/toolkit/sqllock"
)

func setIsAllOrNothing(a *arena) {
	p, other := a.party("p"), a.party("other")
	names := []string{"c", "a", "b", "a", "c"}

	_, err := p.AcquireAll(a.ctx, nil)
	require.ErrorIs(a, err, sqllock.ErrInvalid)

	set, err := p.AcquireAll(a.ctx, names)
	require.NoError(a, err)
	got := set.Names()
	slices.Sort(got)
	assert.Equal(a, []string{"a", "b", "c"}, got, "duplicates count once")
	for _, name := range got {
		a.refused(other, name)
		a.refused(p, name)
	}
	require.NoError(a, set.Err())
	require.NoError(a, set.Release(a.ctx))
	require.NoError(a, set.Release(a.ctx))
	assert.ErrorIs(a, set.Err(), sqllock.ErrReleased)

	for _, holder := range []*party{p, other} {
		l := a.soon(holder, "b")
		// Long enough for the database to answer: otherwise nobody knows which of them is held.
		for _, opt := range []sqllock.Option{sqllock.Wait(0), sqllock.Wait(2 * time.Second)} {
			set, err := p.AcquireAll(a.ctx, names, opt)
			require.Nil(a, set)
			require.ErrorIs(a, err, sqllock.ErrNotAcquired)
			var held *sqllock.HeldError
			require.ErrorAs(a, err, &held)
			assert.Equal(a, "b", held.Name, "the one that could not be had")
			for _, free := range []string{"a", "c"} {
				a.release(a.soon(other, free))
			}
		}
		waiting := make(chan error, 1)
		go func() {
			set, err := p.AcquireAll(a.ctx, names)
			if err == nil {
				err = set.Release(a.ctx)
			}
			waiting <- err
		}()
		assert.NoError(a, l.Verify(a.ctx))
		a.release(l)
		require.NoError(a, <-waiting)
	}
}

// setsOfProcessesDoNotDeadlock asks for the same names in as many orders as there are attempts.
func setsOfProcessesDoNotDeadlock(a *arena) {
	const processes, workers, each = 3, 2, 12
	seed := rand.Uint64()
	a.Logf("seed %d", seed)
	names := []string{"n0", "n1", "n2", "n3", "n4"}
	db := a.db()
	ledgers := a.ledgers(db, len(names))
	ps := make([]*process, processes)
	for i := range ps {
		ps[i] = a.process(fmt.Sprintf("p%d", i), 0)
	}
	replies := together(ps, func(i int) request {
		return request{Program: "sets", Names: names, Count: each, Workers: workers, Seed: seed + uint64(i)}
	})
	for i := range names {
		want := 0
		for _, r := range replies {
			want += r.Counts[i]
		}
		n, err := ledgers[i].counter(a.ctx)
		require.NoError(a, err)
		assert.Equal(a, want, n, "an update of %s was lost", names[i])
	}
}

// sets visits the ledgers of some of the names while it holds them all, and counts the visits.
func sets(h *helper, r request) (reply, error) {
	counts := make([]int, len(r.Names))
	err := inParallel(r.Workers, func(w int) error {
		random := rand.New(rand.NewPCG(r.Seed, uint64(w)))
		for range r.Count {
			ids := random.Perm(len(r.Names))[:2+random.IntN(len(r.Names)-1)]
			names := make([]string, len(ids))
			for i, id := range ids {
				names[i] = r.Names[id]
			}
			set, err := h.client.AcquireAll(h.ctx, names)
			if err != nil {
				return err
			}
			for _, id := range ids {
				if err := (ledger{h.db, id}).visit(h.ctx, sqllock.ModeExclusive, 0, 0); err != nil {
					return fmt.Errorf("%s: %w", r.Names[id], err)
				}
				h.mu.Lock()
				counts[id]++
				h.mu.Unlock()
			}
			if err := errors.Join(set.Err(), set.Release(h.ctx)); err != nil {
				return err
			}
		}
		return nil
	})
	return reply{Counts: counts}, err
}

func setEndsWithItsFirstMember(a *arena) {
	p, other := a.party("p", a.leases(forcedTTL)...), a.party("other")
	set, err := p.AcquireAll(a.ctx, []string{"a", "b", "c"})
	require.NoError(a, err)
	ctx, cancel := set.Context(a.ctx)
	defer cancel()
	done := set.Done()
	require.NoError(a, other.ForceRelease(a.ctx, "b"))
	a.within(slack, done, "the set ends with its member")
	a.within(slack, ctx.Done(), "the set's context ends")
	assert.ErrorIs(a, context.Cause(ctx), sqllock.ErrForced)
	assert.ErrorIs(a, set.Err(), sqllock.ErrLost)
	a.refused(other, "a") // the others are held until they are released
	assert.ErrorIs(a, set.Release(a.ctx), sqllock.ErrLost)
	for _, name := range []string{"a", "b", "c"} {
		a.release(a.soon(other, name))
	}
}
