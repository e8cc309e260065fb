//go:build linux

package torture

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/stretchr/testify/require"
)

// clients is how many processes use the database at a time.
const clients = 4

// round lets processes use locks of a backend while things go wrong, for so long, and checks what has happened.
func round(tb testing.TB, kind string, seed uint64, lasts time.Duration) {
	tb.Logf("%s: SEED=%d", kind, seed)
	names := []name{{ID: 1, Kind: kindExclusive}, {ID: 2, Kind: kindExclusive}}
	if kind != mysqlNamed {
		names = append(names, name{ID: 3, Kind: kindShared}, name{ID: 4, Kind: kindPermits, Permits: 2})
	}
	dir := temporary(tb)
	b := newBed(tb, kind, seed, dir, clients, names)
	b.torment(now() + lasts)
	h, err := b.finish()
	require.NoError(tb, err)
	judge(tb, h, filepath.Join(dir, "linearization.html"))
	summarize(tb, h, b.injected)
}

// judge fails the test for all that is wrong with a history. What porcupine thinks of it goes to a file.
func judge(tb testing.TB, h *history, path string) {
	const several = 10
	for _, c := range checks {
		found := c.find(h)
		if len(found) > 0 {
			tb.Errorf("%s; but, %d times:\n%s", c.claim, len(found), strings.Join(found[:min(several, len(found))], "\n"))
		}
	}
	result, info := h.linearizable(time.Minute)
	if result == porcupine.Ok {
		return
	}
	if err := porcupine.VisualizePath(model, info, path); err != nil {
		path = err.Error()
	}
	tb.Errorf("lock and register are not linearizable (%s): %s", result, path)
}

func summarize(tb testing.TB, h *history, injected map[string]int) {
	var b strings.Builder
	fmt.Fprintf(&b, "%d processes; the last has ended %v after the last trouble\n", len(h.ended), (h.end - h.quiet).Round(time.Millisecond))
	for _, n := range h.names {
		granted, refused, failed, committed, aborted := 0, 0, 0, 0, 0
		lost := make(map[string]int)
		for _, l := range h.holds {
			if l.name != n.ID {
				continue
			}
			switch {
			case l.granted:
				granted++
			case l.refused:
				refused++
			default:
				failed++
			}
			if l.granted && l.reason != "" {
				lost[cause(l.reason)]++
			}
		}
		for _, t := range h.txs {
			switch {
			case t.name != n.ID:
			case t.committed || t.found:
				committed++
			default:
				aborted++
			}
		}
		fmt.Fprintf(&b, "name %d (%s): %d granted, %d refused, %d failed; %d transactions committed, %d not; lost:",
			n.ID, n.Kind, granted, refused, failed, committed, aborted)
		for _, c := range slices.Sorted(maps.Keys(lost)) {
			fmt.Fprintf(&b, " %d × %s;", lost[c], c)
		}
		b.WriteByte('\n')
	}
	b.WriteString("faults:")
	for _, k := range slices.Sorted(maps.Keys(injected)) {
		fmt.Fprintf(&b, " %d × %s;", injected[k], k)
	}
	tb.Log(b.String())
}

// cause is an error without what is different each time.
func cause(reason string) string {
	parts := strings.Split(reason, ": ")
	text := parts[len(parts)-1]
	return strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' {
			return -1
		}
		return r
	}, text)
}
