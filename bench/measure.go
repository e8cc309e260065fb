package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

const (
	defaultTTL = 15 * time.Second // of leases, and of sessions that end with time: ours, given to all
	shortTTL   = 4 * time.Second  // where that is waited for: the shortest that ZooKeeper grants by default
	standBack  = 100 * time.Millisecond

	playTimeout = 2 * time.Minute // of one contestant in one round: whoever needs longer hangs
)

// A measure is one thing that is compared.
type measure struct {
	name, title string
	how         string // it was measured, for the reader
	columns     []column
	rounds      int // at most; 0: as many as the flags say
	finer       int // so many times as many rounds, with slices so many times shorter; 0: 1
	takes       func(contestant) bool
	against     func(contestant) string // whom the ratio is with; may be nil
	play        func(ctx context.Context, l *lab, s *server, c contestant) (sample, error)
}

// A column is a figure. The first of a measure has its spread and its ratio shown.
type column struct {
	name     string
	unit     unit
	quantile float64 // of the samples of all rounds; 0: the median of the rounds, each of which is the median of its samples
	chart    bool
}

// A sample is what one contestant has yielded in one round, by column.
type sample map[string][]float64

// A result is by contestant.
type result struct {
	field  []contestant
	rounds map[string][]sample // nil where it did not play
	errs   map[string]error
	absent map[string]error
}

// measures are all there are.
func measures(s settings) []measure {
	crowd, hoards, levels, trips := 1000, []int{1000, 10_000}, []int{16, 64, 256, 1024}, []int{1, 10, 50}
	if s.quick {
		crowd, hoards, levels, trips = 100, []int{300}, []int{16, 256}, []int{10}
	}
	all := []measure{latency()}
	for _, n := range levels {
		all = append(all, throughput(n))
	}
	all = append(all, handOver(), takeOver(), waiting(crowd))
	for _, n := range hoards {
		all = append(all, holding(n))
	}
	all = append(all, election(), guardOverhead())
	for _, ms := range trips {
		all = append(all, distance(time.Duration(ms)*time.Millisecond))
	}
	return all
}

func selectMeasures(s settings) []measure {
	return slices.DeleteFunc(measures(s), func(m measure) bool { return !s.measures.MatchString(m.name) })
}

// field is who takes part: those that the flags name, and those with whom they are compared.
func (m measure) field(s settings) []contestant {
	var eligible []contestant
	wanted := make(map[string]bool)
	for _, c := range contestants() {
		named := c.only == nil || slices.ContainsFunc(c.only, func(name string) bool { return strings.HasPrefix(m.name, name) })
		if !named || !m.takes(c) {
			continue
		}
		eligible = append(eligible, c)
		if s.contestants.MatchString(c.name) || s.contestants.MatchString(string(c.on)) {
			wanted[c.name] = true
			if m.against != nil {
				wanted[m.against(c)] = true
			}
		}
	}
	return slices.DeleteFunc(eligible, func(c contestant) bool { return !wanted[c.name] })
}

// take plays the rounds. Whoever fails is out; only the end of ctx ends all.
func (l *lab) take(ctx context.Context, m measure) (result, error) {
	r := result{field: m.field(l.settings), rounds: make(map[string][]sample), errs: make(map[string]error), absent: make(map[string]error)}
	rounds := l.rounds
	if m.rounds > 0 {
		rounds = min(rounds, m.rounds)
	}
	if m.finer > 0 && !l.quick {
		l = l.finer(m.finer)
		rounds *= m.finer
	}
	for round := range rounds {
		for i := range r.field {
			c := r.field[(i+round)%len(r.field)]
			s := l.servers[c.on]
			if s == nil {
				r.absent[c.name] = l.absent[c.on]
				continue
			}
			if r.errs[c.name] != nil {
				continue
			}
			yield, err := l.turn(ctx, m, s, c)
			if ctx.Err() != nil {
				return r, context.Cause(ctx)
			}
			if err != nil {
				r.errs[c.name] = err
				l.progress("%s, round %d of %d: %s has failed: %v", m.name, round+1, rounds, c.name, oneLine(err))
				continue
			}
			for len(r.rounds[c.name]) < round {
				r.rounds[c.name] = append(r.rounds[c.name], nil)
			}
			r.rounds[c.name] = append(r.rounds[c.name], yield)
			head := m.columns[0]
			l.progress("%s, round %d of %d: %s %s", m.name, round+1, rounds, c.name, head.unit.full(median(yield[head.name])))
		}
	}
	return r, nil
}

// finer is the same lab for shorter slices.
func (l *lab) finer(times int) *lab {
	fine := *l
	fine.slice /= time.Duration(times)
	return &fine
}

func (l *lab) turn(ctx context.Context, m measure, s *server, c contestant) (sample, error) {
	before, err := connections(s.port, established, closeWait)
	if err != nil {
		return nil, err
	}
	patient, cancel := context.WithTimeoutCause(ctx, playTimeout, fmt.Errorf("is not done after %v", playTimeout))
	defer cancel()
	yield, err := m.play(patient, l, s, c)
	if err != nil && patient.Err() != nil {
		err = errors.Join(context.Cause(patient), err)
	}
	return yield, errors.Join(err, s.quiet(ctx, before))
}

// isLock leaves out the floors.
func isLock(c contestant) bool { return c.camp != floors }

func theFloor(c contestant) string { return c.floor }

func theHand(c contestant) string { return c.hand }

// value is the figure of a contestant in a column.
func (r result) value(c contestant, col column) float64 {
	if col.quantile == 0 {
		return median(r.byRound(c, col))
	}
	var all []float64
	for _, s := range r.rounds[c.name] {
		all = append(all, s[col.name]...)
	}
	return quantile(all, col.quantile)
}

// byRound has one figure for each round in which the contestant has yielded something.
func (r result) byRound(c contestant, col column) (figures []float64) {
	for _, s := range r.rounds[c.name] {
		if len(s[col.name]) > 0 {
			figures = append(figures, median(s[col.name]))
		}
	}
	return figures
}

// ratio is the median of those within the rounds.
func (r result) ratio(c contestant, against string, col column) float64 {
	var ratios []float64
	theirs := r.rounds[against]
	for i, s := range r.rounds[c.name] {
		if i < len(theirs) && len(s[col.name]) > 0 && len(theirs[i][col.name]) > 0 {
			ratios = append(ratios, median(s[col.name])/median(theirs[i][col.name]))
		}
	}
	return median(ratios)
}
