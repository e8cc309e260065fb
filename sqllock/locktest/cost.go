package locktest

import (
	"fmt"
	"runtime"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/sqllock/toolkit/sqllock"
)

// manyLeasesCostOneRenewal holds a thousand leases in a process of their own, where goroutines can be counted.
func manyLeasesCostOneRenewal(a *arena) {
	const leases, renewals = 1000, 3
	const ttl = 4500 * time.Millisecond
	if !a.can.Leases {
		a.unsupported(sqllock.TTL(ttl))
		return
	}
	p := a.process("p", ttl)
	counts := p.must(request{Program: "holdMany", Count: leases}).Counts
	assert.LessOrEqual(a, counts[1], counts[0]+10, "goroutines with one lease and with %d, but for those of connections", leases)

	// An idle Client changes nothing, and must not be mistaken for one that holds.
	idle := a.party("idle", sqllock.TTL(ttl))
	a.release(a.acquire(idle, "something else"))

	if a.subject.CountChanges != nil {
		a.eventually(func() bool { return len(a.infos(idle, "something else")) == 0 }, "the release is done")
		changes := a.subject.CountChanges(a, a.dsn)
		start := time.Now()
		var seen map[string]int
		total := func() int {
			seen = changes()
			n := 0
			for _, of := range seen {
				n += of
			}
			return n
		}
		a.eventually(func() bool { return total() >= renewals }, "the leases are renewed")
		assert.Len(a, seen, 1, "renewing touches one table")
		most := int(3*time.Since(start)/ttl) + 2
		assert.LessOrEqual(a, total(), most, "one row every third of the TTL: %v", seen)
	}
	p.must(request{Program: "stillHeld"})
}

// holdMany acquires one lease, then many, and counts goroutines each time.
func holdMany(h *helper, r request) (reply, error) {
	first, err := h.client.Acquire(h.ctx, "n0")
	if err != nil {
		return reply{}, err
	}
	counts := []int{steadyGoroutines()}
	var names []string
	for i := 1; i < r.Count; i++ {
		names = append(names, fmt.Sprintf("n%d", i))
	}
	set, err := h.client.AcquireAll(h.ctx, names) // one by one takes a slow machine too long
	if err != nil {
		return reply{}, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.locks = append(append(h.locks, first), set.Locks()...)
	return reply{Counts: append(counts, steadyGoroutines())}, nil
}

// steadyGoroutines is the smallest number of goroutines over some time, without those that are about to end.
func steadyGoroutines() int {
	n := runtime.NumGoroutine()
	for range 100 {
		time.Sleep(time.Millisecond)
		n = min(n, runtime.NumGoroutine())
	}
	return n
}

func stillHeld(h *helper, _ request) (reply, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, l := range h.locks {
		if err := l.Err(); err != nil {
			return reply{}, err
		}
	}
	last := h.locks[len(h.locks)-1]
	return reply{}, last.Verify(h.ctx)
}
