package main

import (
	"context"
	"time"
)

func guardOverhead() measure {
	return measure{
		name: "guard", title: "The overhead of a guard",
		how: "A transaction that changes one row, with a guard in it and without, by turns. Nobody but this toolkit has one.",
		columns: []column{
			{name: "with the guard, of without", unit: ratios, chart: true},
			{name: "with", unit: micros},
			{name: "without", unit: micros},
		},
		takes: func(c contestant) bool { return c.guard != nil },
		play:  playGuard,
	}
}

func playGuard(ctx context.Context, l *lab, s *server, c contestant) (yield sample, err error) {
	under, err := c.guard(ctx, s.address)
	if err != nil {
		return nil, err
	}
	defer closing(under, &err)
	var with, without []float64
	for begin := time.Now(); len(with) < 10 || time.Since(begin) < l.slice; {
		for _, turn := range []struct {
			guarded bool
			took    *[]float64
		}{{true, &with}, {false, &without}} {
			start := time.Now()
			if err := under.Transact(ctx, turn.guarded); err != nil {
				return nil, err
			}
			*turn.took = append(*turn.took, inMicros(time.Since(start)))
		}
	}
	return sample{"with the guard, of without": {median(with) / median(without)}, "with": with, "without": without}, nil
}
