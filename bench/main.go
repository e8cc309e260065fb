// Command bench measures what locks cost: those of this toolkit, the round trips and commits below which nothing can go, what people
// write by hand, and the locks of Redis, etcd and ZooKeeper.
//
//	go run .                    # everything, in some 40 minutes on two cores; draws the charts of docs/charts
//	go run . -quick             # whether it works, in a few minutes; the figures mean nothing
//	go run . -list              # who takes part in what
//	go run . -measures '^latency$' -contestants 'postgres|Redis'
//
// # How it measures
//
// It starts each server on a directory of its own, on a disk, with the durability that this server has by default, and talks to it over
// loopback. A measure is taken in rounds, in each of which every contestant has one short slice, in an order that moves on with each
// round: so a machine that has a slow minute is slow for all of them. Contestants are opened for their slice and closed after it, so none
// has another's connections, pings and pollers beside it. The tables have the median of the rounds, the smallest and the largest, and
// the median of the ratios, each of which is taken within one round.
//
// Where several want one lock it is checked that one at a time has it, and whoever breaks that has an error in place of a figure. So has
// everybody who fails in another way; who cannot be run on this machine is listed with the reason.
//
// # Where things are
//
// A file for each family of contestants: ours.go, floor.go, hand_postgres.go, hand_mysql.go, goose.go, redis.go, etcd.go, zookeeper.go. A
// file for each measure: latency.go, throughput.go, handover.go, takeover.go, waiting.go, holding.go, election.go, guard.go, distance.go. The servers are
// in server_*.go, the rounds in measure.go, the tables in table.go, the charts in chart.go. Hand-over, take-over and elections are
// between processes, which are this program again: process.go and child.go.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"runtime"
	"syscall"
	"testing"
	"time"
)

func main() {
	if isChild() {
		serveParent()
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1) //nolint:gocritic // stop has nothing left to do
	}
}

// settings are what the flags say.
type settings struct {
	measures, contestants *regexp.Regexp
	rounds                int
	slice                 time.Duration
	quick, list           bool
	dir, charts           string
}

func parse(args []string) (settings, error) {
	var s settings
	var measures, contestants string
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.StringVar(&measures, "measures", "", "regular expression: the measures to take")
	flags.StringVar(&contestants, "contestants", "", "regular expression: the contestants that take part; a floor comes with whom it is compared with")
	flags.IntVar(&s.rounds, "rounds", 5, "how often each contestant has its turn in each measure, at most")
	flags.DurationVar(&s.slice, "slice", 700*time.Millisecond, "how long one turn lasts, where that can be chosen")
	flags.BoolVar(&s.quick, "quick", false, "one short round of everything, with fewer goroutines and locks, and no charts unless -charts is given")
	flags.BoolVar(&s.list, "list", false, "list measures and contestants")
	flags.StringVar(&s.dir, "dir", "/var/tmp", "where the servers keep their data, in a new directory: has to be on a disk, and open to the users that servers run as")
	flags.StringVar(&s.charts, "charts", "", "where the charts and tables go (default ../docs/charts)")
	if err := flags.Parse(args); err != nil {
		return s, err
	}
	if flags.NArg() > 0 {
		return s, fmt.Errorf("%q is not a flag; the flags are those of -help", flags.Arg(0))
	}
	if s.quick {
		s.rounds, s.slice = 1, 100*time.Millisecond
	} else if s.charts == "" {
		s.charts = "../docs/charts"
	}
	if s.rounds < 1 || s.slice <= 0 {
		return s, fmt.Errorf("-rounds %d, -slice %v: both are more than 0", s.rounds, s.slice)
	}
	var err error
	if s.measures, err = regexp.Compile(measures); err != nil {
		return s, fmt.Errorf("-measures: %w", err)
	}
	if s.contestants, err = regexp.Compile(contestants); err != nil {
		return s, fmt.Errorf("-contestants: %w", err)
	}
	return s, nil
}

func run(ctx context.Context, args []string) (err error) {
	s, err := parse(args)
	if err != nil {
		return err
	}
	measures := selectMeasures(s)
	if s.list {
		list(measures, s)
		return nil
	}
	l, err := openLab(ctx, s, measures)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.close()) }()
	if err := l.introduce(); err != nil {
		return err
	}
	var broken int
	for _, m := range measures {
		result, err := l.take(ctx, m)
		if err != nil {
			return err
		}
		broken += len(result.errs)
		if err := publish(s, m, result); err != nil {
			return err
		}
	}
	if broken > 0 {
		return fmt.Errorf("%d contestants have failed in a measure: see the tables", broken)
	}
	return nil
}

func list(measures []measure, s settings) {
	for _, m := range measures {
		fmt.Println(m.name + ": " + m.title)
		for _, c := range m.field(s) {
			fmt.Printf("\t%-40s %s\n", c.name, c.gives)
		}
	}
}

// The servers of testdb are for tests, and ask the flags of tests whether to start.
func init() {
	testing.Init()
}

func machine() string {
	return fmt.Sprintf("%s/%s, %d cores, %s", runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), runtime.Version())
}
