package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

// contended is the name that several processes want.
const contended = "bench-contended"

// handOvers are so many in a slice at least.
const handOvers = 3

func handOver() measure {
	return measure{
		name: "hand-over", title: "Hand-over between two processes",
		how: "Two processes pass one lock to and fro: from before the release in one to the grant in the other, which has waited for 2 to 20 ms, or if it looks from time to time, up to as long as it pauses. " +
			"The ratio is with waiting in the server by hand, or with redislock.",
		columns: []column{{name: "hand-over", unit: millis, chart: true}, {name: "p99", unit: millis, quantile: 0.99}, {name: "hand-overs", unit: pieces}},
		takes:   isLock,
		against: theHand,
		play:    playHandOver,
	}
}

func playHandOver(ctx context.Context, l *lab, s *server, c contestant) (yield sample, err error) {
	p := part{Contestant: c.name, Address: s.address, Options: options{TTL: defaultTTL, Conns: 2}}
	var both [2]*process
	for i := range both {
		if both[i], err = spawn(ctx, p); err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, both[i].end(ctx)) }()
	}
	holder, waiter := both[0], both[1]
	if _, err := holder.do(ctx, "lock"); err != nil {
		return nil, err
	}
	var took []float64
	for begin := time.Now(); len(took) < handOvers || time.Since(begin) < 2*l.slice; {
		if err := waiter.ask("lock"); err != nil {
			return nil, err
		}
		time.Sleep(2*time.Millisecond + rand.N(max(18*time.Millisecond, c.poll)))
		released, err := holder.do(ctx, "unlock")
		if err != nil {
			return nil, err
		}
		granted, err := waiter.hear(ctx, "lock")
		if err != nil {
			return nil, err
		}
		if granted < released {
			return nil, fmt.Errorf("TWO HOLDERS: granted %v before the release", released-granted)
		}
		took = append(took, inMillis(granted-released))
		holder, waiter = waiter, holder
	}
	if _, err := holder.do(ctx, "unlock"); err != nil {
		return nil, err
	}
	return sample{"hand-over": took, "p99": took, "hand-overs": {float64(len(took))}}, nil
}
