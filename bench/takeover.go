package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

func takeOver() measure {
	return measure{
		name: "take-over", title: "Take-over after kill -9",
		how: fmt.Sprintf("From SIGKILL of the process that holds a lock to the grant in another that waits. What ends with time has %v, and was renewed a while ago when its holder died. "+
			"The ratio is with what people write by hand.", shortTTL),
		columns: []column{{name: "take-over", unit: millis, chart: true}, {name: "longest", unit: millis, quantile: 1}, {name: "kills in a round", unit: pieces}},
		rounds:  3,
		takes:   isLock,
		against: theHand,
		play:    playTakeOver,
	}
}

func playTakeOver(ctx context.Context, l *lab, s *server, c contestant) (yield sample, err error) {
	p := part{Contestant: c.name, Address: s.address, Options: options{TTL: shortTTL, Conns: 2}}
	holder, err := spawn(ctx, p)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, holder.end(ctx)) }()
	if _, err := holder.do(ctx, "lock"); err != nil {
		return nil, err
	}
	var took []float64
	for begin := time.Now(); len(took) == 0 || time.Since(begin) < 4*l.slice; {
		waiter, err := spawn(ctx, p)
		if err != nil {
			return nil, err
		}
		if err := waiter.ask("lock"); err != nil {
			return nil, errors.Join(err, waiter.kill())
		}
		time.Sleep(200*time.Millisecond + rand.N(time.Second)) // anywhere between two polls or renewals
		killed := monotonic()
		if err := holder.kill(); err != nil {
			return nil, errors.Join(err, waiter.kill())
		}
		holder = waiter
		granted, err := waiter.hear(ctx, "lock")
		if err != nil {
			return nil, err
		}
		if granted < killed {
			return nil, fmt.Errorf("TWO HOLDERS: granted %v before the holder died", killed-granted)
		}
		took = append(took, inMillis(granted-killed))
	}
	if _, err := holder.do(ctx, "unlock"); err != nil {
		return nil, err
	}
	return sample{"take-over": took, "longest": took, "kills in a round": {float64(len(took))}}, nil
}
