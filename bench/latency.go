package main

import (
	"context"
	"time"
)

func latency() measure {
	return measure{
		name: "latency", title: "Acquire and release, one goroutine",
		how: "One goroutine takes a free lock and releases it, again and again, in many short slices: a round trip takes three times as long where client and server " +
			"happen to run on different cores, and that lasts as long as a connection. The ratio is with the floor of the same server.",
		columns: []column{{name: "acquire + release", unit: micros, chart: true}, {name: "p99", unit: micros, quantile: 0.99}, {name: "connections", unit: pieces}},
		takes:   func(contestant) bool { return true },
		against: theFloor,
		finer:   6,
		play:    playLatency,
	}
}

func playLatency(ctx context.Context, l *lab, s *server, c contestant) (yield sample, err error) {
	before, err := s.connections()
	if err != nil {
		return nil, err
	}
	locks, err := c.open(ctx, s.address, options{TTL: defaultTTL, Conns: 4})
	if err != nil {
		return nil, err
	}
	defer closing(locks, &err)
	// Connections, prepared statements, scripts and caches are there when the slice begins.
	if err := cyclesFor(ctx, locks, "bench-0", l.slice/5, nil); err != nil {
		return nil, err
	}
	var took []float64
	if err := cyclesFor(ctx, locks, "bench-0", l.slice, func(d time.Duration) { took = append(took, inMicros(d)) }); err != nil {
		return nil, err
	}
	after, err := s.connections()
	return sample{"acquire + release": took, "p99": took, "connections": {after - before}}, err
}

func cycle(ctx context.Context, locks locker, name string) error {
	unlock, err := locks.Lock(ctx, name)
	if err != nil {
		return err
	}
	return unlock(ctx)
}

// cyclesFor does at least one cycle.
func cyclesFor(ctx context.Context, locks locker, name string, d time.Duration, tell func(time.Duration)) error {
	for begin := time.Now(); ; {
		start := time.Now()
		if err := cycle(ctx, locks, name); err != nil {
			return err
		}
		now := time.Now()
		if tell != nil {
			tell(now.Sub(start))
		}
		if now.Sub(begin) > d {
			return nil
		}
	}
}

func inMicros(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e3 }

func inMillis(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e6 }
