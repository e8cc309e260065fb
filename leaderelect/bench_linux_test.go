package leaderelect_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// benchTTL is how long the lease of a leader that is killed goes on. The default, 15 s, would be measured with as much patience.
const benchTTL = time.Second

// BenchmarkElection measures, among real processes, how long it is until OnElected is called in one that waits: after the leader was killed, and after
// it was asked to resign. ms-max is the longest of all rounds, and so on. For one backend:
//
//	go test ./leaderelect -run '^$' -bench 'Election/mysql.Named/kill' -benchtime 50x
func BenchmarkElection(b *testing.B) {
	for _, backend := range everyBackend {
		b.Run(backend.name, func(b *testing.B) {
			b.Run("kill", func(b *testing.B) { benchmarkKill(b, newElection(b, backend)) })
			b.Run("resign", func(b *testing.B) { benchmarkResign(b, newElection(b, backend)) })
		})
	}
}

func benchmarkKill(b *testing.B, e *election) {
	seer := e.member("seer", nil)
	leader := e.process("p0", benchTTL)
	leader.wins()
	var took []time.Duration
	for n := 1; len(took) < b.N; n++ {
		next := e.process(fmt.Sprintf("p%d", n), benchTTL)
		seer.sees(next.id)
		time.Sleep(rand.N(benchTTL)) // at any time between two polls or renewals
		killed := monotonic()
		leader.signal(syscall.SIGKILL)
		took = appendElection(b, took, killed, next)
		leader = next
	}
	reportElections(b, took)
}

func benchmarkResign(b *testing.B, e *election) {
	seer := e.member("seer", nil)
	leader := e.process("p0", longTTL)
	leader.wins()
	next := e.process("p1", longTTL)
	var took []time.Duration
	for len(took) < b.N {
		seer.sees(next.id)
		asked := monotonic()
		require.Equal(b, "<nil>", leader.asked("resign"))
		took = appendElection(b, took, asked, next)
		leader, next = next, leader
	}
	reportElections(b, took)
}

// appendElection waits for the next leader. If that was elected before, because a machine that does a lot has kept the leader from renewing its lease, the
// round does not count.
func appendElection(b *testing.B, took []time.Duration, since time.Duration, next *helper) []time.Duration {
	b.Helper()
	_, at := next.elected()
	if at < since {
		b.Log("a leader was deposed before its time")
		return took
	}
	return append(took, at-since)
}

func reportElections(b *testing.B, took []time.Duration) {
	b.Helper()
	slices.Sort(took)
	at := func(quantile float64) float64 {
		d := took[int(math.Ceil(quantile*float64(len(took))))-1]
		return float64(d.Microseconds()) / 1e3
	}
	b.ReportMetric(0, "ns/op") // a round is mostly preparation
	b.ReportMetric(at(0.5), "ms-p50")
	b.ReportMetric(at(0.9), "ms-p90")
	b.ReportMetric(at(0.99), "ms-p99")
	b.ReportMetric(at(1), "ms-max")
}
