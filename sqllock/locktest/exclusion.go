package locktest

import (
	"fmt"
	"math/rand/v2"
	"sync/atomic"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sqllock/toolkit/sqllock"
)

func processesExcludeEachOther(a *arena) {
	const processes, workers, each = 3, 2, 25
	exclude(a, processes, workers, each, []sqllock.Mode{sqllock.ModeExclusive})
}

func goroutinesExcludeEachOther(a *arena) {
	const workers, each = 8, 20
	exclude(a, 1, workers, each, []sqllock.Mode{sqllock.ModeExclusive})
}

func modesExcludeEachOtherInProcesses(a *arena) {
	const processes, workers, each = 3, 3, 20
	exclude(a, processes, workers, each, a.modes())
}

// modes are those that the backend has. For the others it has to say so.
func (a *arena) modes() []sqllock.Mode {
	modes := []sqllock.Mode{sqllock.ModeExclusive}
	if a.can.Shared {
		modes = append(modes, sqllock.ModeShared)
	} else {
		a.unsupported(sqllock.Shared())
	}
	if a.can.Permits {
		modes = append(modes, sqllock.ModePermit)
	} else {
		a.unsupported(sqllock.Permits(2))
	}
	return modes
}

// exclude has processes take one lock in turns, and counts in the database who is inside.
func exclude(a *arena, processes, workers, each int, modes []sqllock.Mode) {
	seed := rand.Uint64()
	a.Logf("seed %d", seed)
	db := a.db()
	l := a.ledgers(db, 1)[0]
	ps := make([]*process, processes)
	for i := range ps {
		ps[i] = a.process(fmt.Sprintf("p%d", i), 0)
	}
	replies := together(ps, func(i int) request {
		return request{Program: "rounds", Name: "n", Modes: modes, Count: each, Workers: workers, Seed: seed + uint64(i)}
	})
	writers := 0
	for _, r := range replies {
		writers += r.Count
	}
	n, err := l.counter(a.ctx)
	require.NoError(a, err)
	assert.Equal(a, writers, n, "an update was lost")
	if len(modes) == 1 {
		assert.Equal(a, processes*workers*each, n)
	}
}

// rounds visits the ledger under the lock, in one of several modes each time, and counts the visits of writers.
func rounds(h *helper, r request) (reply, error) {
	const permits = 3
	var writers atomic.Int64
	err := inParallel(r.Workers, func(i int) error {
		random := rand.New(rand.NewPCG(r.Seed, uint64(i)))
		for range r.Count {
			m := r.Modes[random.IntN(len(r.Modes))]
			l, err := h.client.Acquire(h.ctx, r.Name, mode(m, permits)...)
			if err != nil {
				return err
			}
			if (l.Token() != 0) != h.can.Tokens {
				return fmt.Errorf("the token is %d", l.Token())
			}
			if err := (ledger{h.db, 0}).visit(h.ctx, m, permits, l.Token()); err != nil {
				return err
			}
			if err := l.Release(h.ctx); err != nil {
				return err
			}
			if m == sqllock.ModeExclusive {
				writers.Add(1)
			}
		}
		return nil
	})
	return reply{Count: int(writers.Load())}, err
}

// modesExcludeWhatTheyShould asks for each mode while each is held, by the same Client and by another.
func modesExcludeWhatTheyShould(a *arena) {
	first, second := a.party("first"), a.party("second")
	compatible := map[sqllock.Mode]sqllock.Mode{sqllock.ModeShared: sqllock.ModeShared, sqllock.ModePermit: sqllock.ModePermit}
	modes := a.modes()
	for _, held := range modes {
		for _, wanted := range modes {
			for _, other := range []*party{first, second} {
				name := fmt.Sprintf("%v beside %v, %s", wanted, held, other.owner)
				l := a.acquire(first, name, mode(held, 2)...)
				if with, ok := compatible[held]; ok && with == wanted {
					both, err := other.TryAcquire(a.ctx, name, mode(wanted, 2)...)
					require.NoError(a, err, name)
					assert.NoError(a, l.Err(), name)
					a.release(both)
				} else {
					a.refused(other, name, mode(wanted, 2)...)
				}
				a.release(l)
				a.release(a.soon(other, name, mode(wanted, 2)...))
			}
		}
	}
}

func smallestNumberOfPermitsCounts(a *arena) {
	if !a.can.Permits {
		a.unsupported(sqllock.Permits(1))
		return
	}
	first, second := a.party("first"), a.party("second")
	if !a.can.MixedPermits {
		l := a.acquire(first, "n", sqllock.Permits(2))
		_, err := first.TryAcquire(a.ctx, "n", sqllock.Permits(3))
		require.ErrorIs(a, err, sqllock.ErrUnsupported)
		a.release(l)
		return
	}
	for _, p := range []*party{first, second} {
		name := "asked by " + p.owner
		one := a.acquire(first, name, sqllock.Permits(3))
		a.refused(p, name, sqllock.Permits(1)) // one holds already
		two := a.acquire(p, name, sqllock.Permits(2))
		a.refused(p, name, sqllock.Permits(3)) // one who holds was promised that it would be two at most
		a.release(two)
		three := a.soon(p, name, sqllock.Permits(3))
		four := a.soon(second, name, sqllock.Permits(3))
		a.refused(first, name, sqllock.Permits(3))
		a.release(one)
		five := a.soon(first, name, sqllock.Permits(5))
		a.refused(second, name, sqllock.Permits(5)) // three of the others' three
		for _, l := range []*sqllock.Lock{three, four, five} {
			a.release(l)
		}
	}
}
