package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

func election() measure {
	return measure{
		name: "election", title: "The time to elect a leader",
		how: fmt.Sprintf("Two processes campaign. Resigned: from before the leader resigns to the election of the other. First: from the beginning of a campaign that nobody else is in, connections included. "+
			"Killed: from SIGKILL of the leader; what ends with time has %v.", shortTTL),
		columns: []column{
			{name: "resigned", unit: millis, chart: true},
			{name: "first", unit: millis, chart: true},
			{name: "killed", unit: millis, chart: true},
		},
		rounds: 3,
		takes:  func(c contestant) bool { return c.stand != nil },
		play:   playElection,
	}
}

// settle is how long a candidate is given until it waits for the other's end, so that the moment has nothing to do with its polls.
func settle(ctx context.Context) error { return sleep(ctx, 4*standBack+rand.N(time.Second)) }

func playElection(ctx context.Context, _ *lab, s *server, c contestant) (yield sample, err error) {
	p := part{Contestant: c.name, Address: s.address, Candidate: true, Options: options{TTL: shortTTL, Conns: 2}}
	var both [2]*process
	for i := range both {
		if both[i], err = spawn(ctx, p); err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, both[i].kill()) }()
	}
	yield = make(sample)
	leader, other := both[0], both[1]
	begun, err := leader.do(ctx, "campaign")
	if err != nil {
		return nil, err
	}
	at, err := leader.hear(ctx, "elected")
	if err != nil {
		return nil, err
	}
	yield["first"] = []float64{inMillis(at - begun)}
	if _, err := other.do(ctx, "campaign"); err != nil {
		return nil, err
	}
	for range 2 {
		if err := settle(ctx); err != nil {
			return nil, err
		}
		resigned, err := leader.do(ctx, "resign")
		if err != nil {
			return nil, err
		}
		if err := elected(ctx, yield, "resigned", other, resigned); err != nil {
			return nil, err
		}
		leader, other = other, leader
	}
	if err := settle(ctx); err != nil {
		return nil, err
	}
	killed := monotonic()
	if err := leader.kill(); err != nil {
		return nil, err
	}
	if err := elected(ctx, yield, "killed", other, killed); err != nil {
		return nil, err
	}
	_, err = other.do(ctx, "resign")
	return yield, err
}

func elected(ctx context.Context, yield sample, column string, p *process, since time.Duration) error {
	at, err := p.hear(ctx, "elected")
	if err != nil {
		return err
	}
	if at < since {
		return fmt.Errorf("TWO LEADERS: elected %v before the other was %s", since-at, column)
	}
	yield[column] = append(yield[column], inMillis(at-since))
	return nil
}
