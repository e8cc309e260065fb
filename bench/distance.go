package main

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/Shopify/toxiproxy/v2"
	_ "github.com/Shopify/toxiproxy/v2/toxics" // one of which delays
	"github.com/rs/zerolog"
)

// farGoroutines take locks of their own from far away, to see what shares a round trip.
const farGoroutines = 256

func distance(trip time.Duration) measure {
	return measure{
		name: fmt.Sprintf("distance-%dms", trip.Milliseconds()), title: fmt.Sprintf("A round trip of %v", trip),
		how: fmt.Sprintf("A proxy holds back every answer, so that a round trip takes %v longer than on this machine. One goroutine, which takes a free lock and releases it; "+
			"%d goroutines with a lock each; and the hand-over between two processes. Those who look from time to time are left out: how often counts for more than how far. "+
			"The ratio is with the floor of the same server, which is two round trips; so twice the ratio is how many there are.", trip, farGoroutines),
		columns: []column{{name: "acquire + release", unit: millis, chart: true}, {name: "256 goroutines", unit: perSecond}, {name: "hand-over", unit: millis}},
		rounds:  2,
		takes:   func(c contestant) bool { return c.on != onSQLite && c.poll == 0 },
		against: theFloor,
		play: func(ctx context.Context, l *lab, s *server, c contestant) (sample, error) {
			return playDistance(ctx, l, s, c, trip)
		},
	}
}

func playDistance(ctx context.Context, l *lab, s *server, c contestant, trip time.Duration) (sample, error) {
	far, end, err := s.away(trip)
	if err != nil {
		return nil, err
	}
	defer end()
	yield, err := playLatency(ctx, l, far, c)
	if err != nil {
		return nil, err
	}
	for i := range yield["acquire + release"] {
		yield["acquire + release"][i] /= 1e3 // from µs
	}
	crowd, err := playThroughput(ctx, l, far, c, farGoroutines)
	if err != nil {
		return nil, err
	}
	yield["256 goroutines"] = crowd["acquire + release"]
	if isLock(c) {
		passed, err := playHandOver(ctx, l, far, c)
		if err != nil {
			return nil, err
		}
		yield["hand-over"] = passed["hand-over"]
	}
	return yield, nil
}

// away is the same server behind a proxy, further away by a round trip.
func (s *server) away(trip time.Duration) (far *server, end func(), err error) {
	zerolog.SetGlobalLevel(zerolog.Disabled)
	here := net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port))
	proxy := toxiproxy.NewProxy(toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop()), "away", "127.0.0.1:0", here)
	if err := proxy.Start(); err != nil {
		return nil, nil, err
	}
	// All of it on the way back: what anybody waits for has gone there and back.
	hold := fmt.Sprintf(`{"type": "latency", "stream": "downstream", "attributes": {"latency": %d}}`, trip.Milliseconds())
	if _, err := proxy.Toxics.AddToxicJson(strings.NewReader(hold)); err != nil {
		proxy.Stop()
		return nil, nil, err
	}
	moved := *s
	_, port, err := net.SplitHostPort(proxy.Listen)
	if err != nil || !strings.Contains(s.address, strconv.Itoa(s.port)) {
		proxy.Stop()
		return nil, nil, fmt.Errorf("no way to %s: %w", s.address, err)
	}
	moved.address = strings.ReplaceAll(s.address, strconv.Itoa(s.port), port)
	return &moved, proxy.Stop, nil
}
