package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The tests are the program too: hand-over is between children of it.
func TestMain(m *testing.M) {
	if isChild() {
		serveParent()
		return
	}
	os.Exit(m.Run())
}

// SQLite is what runs everywhere, in a second or two.
func TestAQuickRunYieldsEveryFigure(t *testing.T) {
	charts := t.TempDir()
	require.NoError(t, run(t.Context(), []string{
		"-quick", "-contestants", "^SQLite$", "-measures", "latency|throughput-16|hand-over|guard|holding", "-dir", t.TempDir(), "-charts", charts,
	}))
	for _, name := range []string{"latency", "throughput-16", "hand-over", "holding-300", "guard"} {
		table, err := os.ReadFile(filepath.Join(charts, name+".md"))
		require.NoError(t, err)
		assert.Contains(t, string(table), "sqlite.Table")
		assert.NotContains(t, string(table), "FAILED")
		assert.FileExists(t, filepath.Join(charts, name+".svg"))
	}
}

func TestWhoIsComparedWithExists(t *testing.T) {
	t.Parallel()
	var names []string
	for _, c := range contestants() {
		assert.NotContains(t, names, c.name)
		names = append(names, c.name)
	}
	for _, c := range contestants() {
		if c.floor != "" {
			assert.Contains(t, names, c.floor)
		}
		if c.hand != "" {
			assert.Contains(t, names, c.hand)
		}
		assert.Equal(t, c.camp == floors, c.gives == gives{}, c.name)
		assert.Contains(t, starters, c.on)
	}
}

func TestAFloorComesWithWhomItIsComparedWith(t *testing.T) {
	t.Parallel()
	s := settings{measures: regexp.MustCompile(""), contestants: regexp.MustCompile(`^mysql\.Table$`)}
	var names []string
	for _, c := range latency().field(s) {
		names = append(names, c.name)
	}
	assert.Equal(t, []string{mysqlCommits, "mysql.Table"}, names)
}

// broken lets everybody have every lock.
type broken struct{ inside sync.WaitGroup }

func (b *broken) Lock(context.Context, string) (func(context.Context) error, error) {
	b.inside.Done() // the second waits for the first to be inside, and so on
	b.inside.Wait()
	return func(context.Context) error { return nil }, nil
}

func (b *broken) Close() error { return nil }

func TestTwoHoldersAreAnError(t *testing.T) {
	t.Parallel()
	locks := &broken{}
	locks.inside.Add(3)
	c := newCrowd(t.Context(), locks, 3) // the holder is still inside
	<-c.gone
	require.ErrorContains(t, c.err(), "TWO HOLDERS")
	require.NoError(t, c.disperse())
}

func TestAnErrorIsShownInPlaceOfAFigure(t *testing.T) {
	t.Parallel()
	m := measure{
		name: "test", columns: []column{{name: "figure", unit: micros}}, takes: func(contestant) bool { return true },
		play: func(_ context.Context, _ *lab, _ *server, c contestant) (sample, error) {
			if c.name == redisSets {
				return nil, errors.New("it was not to be had")
			}
			return sample{"figure": {12}}, nil
		},
	}
	everything := settings{measures: regexp.MustCompile(""), contestants: regexp.MustCompile("SQLite|Redis|etcd"), rounds: 2}
	l := &lab{
		settings: everything, servers: map[kind]*server{onSQLite: {}, onRedis: {}},
		absent: map[kind]error{onEtcd: errors.New("etcd does not run here")},
	}
	r, err := l.take(t.Context(), m)
	require.NoError(t, err)
	table := render(m, r)
	assert.Regexp(t, `(?m)^\| sqlite.Table .* 12 \|`, table)
	assert.Regexp(t, `(?m)^\| Redis: two SETs .* FAILED`, table)
	assert.Regexp(t, `(?m)^- Redis: two SETs: it was not to be had`, table)
	assert.Regexp(t, `(?m)^\| etcd concurrency.Mutex .* not run`, table)
	assert.Regexp(t, `(?m)^- etcd concurrency.Mutex: etcd does not run here`, table)
}

func TestRatiosAreTakenWithinRounds(t *testing.T) {
	t.Parallel()
	col := column{name: "figure", unit: micros}
	rounds := func(figures ...float64) (all []sample) {
		for _, f := range figures {
			all = append(all, sample{"figure": {f}})
		}
		return all
	}
	// The machine was ten times as slow in the second round, and the contestant did not play in the last.
	r := result{rounds: map[string][]sample{"a": rounds(2, 20, 2), "floor": rounds(1, 10, 1, 1)}}
	assert.InDelta(t, 2, r.ratio(contestant{name: "a"}, "floor", col), 0)
}

func TestQuantilesAreOfTheSamples(t *testing.T) {
	t.Parallel()
	all := []float64{5, 1, 4, 2, 3, 6}
	assert.InDelta(t, 3.5, median(all), 0)
	assert.InDelta(t, 6, quantile(all, 0.99), 0)
	assert.InDelta(t, 6, quantile(all, 1), 0)
	assert.Equal(t, []float64{5, 1, 4, 2, 3, 6}, slices.Clone(all), "the samples are left as they were")
}

func TestFiguresHaveThreeDigits(t *testing.T) {
	t.Parallel()
	for want, x := range map[string]float64{"0.48": 0.481, "14.2": 14.21, "2,861": 2861.4, "1,200,000": 1.2e6, "-12.5": -12.5, "0": 0} {
		assert.Equal(t, want, millis.format(x))
	}
	assert.Equal(t, "–", millis.format(median(nil)))
}
