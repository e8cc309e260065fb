package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sqllock/toolkit/leaderelect"
	"github.com/sqllock/toolkit/sqllock"
)

// election is sqllock elect.
type election struct {
	holder
	restart   bool
	standBack time.Duration
	values    []string
	observe   bool
	json      bool
	interval  time.Duration
}

func (c *cli) electCommand() *cobra.Command {
	e := &election{holder: holder{cli: c}}
	cmd := &cobra.Command{
		Use:   "elect [flags] NAME [--] COMMAND [ARG...]",
		Short: "Run a command while this process is the leader, or tell who is",
		Long: `Run a command while this process is the leader, or tell who is.

Of all that are started with the same NAME, on whatever machine, one is the leader and runs its command, as sqllock exec would under a lock of that
name. The others wait. If the leader's lock is lost, its command is ended, and it campaigns again; so it does if the command had ended by itself, with
whatever code, before the loss was noticed. When the command has ended by itself while the lock was held
sqllock resigns, so that somebody else leads at once, and ends with the command's exit code; with --restart it stands back for a while and
campaigns again instead, longer each time in a row that the command fails. After a signal that was passed on to the command it does not.

With --observe and without a COMMAND it prints one line for each change of the leader, until it is interrupted: the time since when, the
leader's --owner, its token, and its --value; a dash stands for nobody. Session locks need the tables of sqllock migrate up for that, and for --value.

The exit code is the command's, or 64 for wrong usage, 69 if the database cannot be reached at the beginning, 75 if the lock was lost and there is no
further campaign, 78 if tables are missing or session locks would exclude nobody there, 126 or 127 if the command cannot be started, 128 + n for
signal n.`,
		Example: `  sqllock elect scheduler -- ./scheduler.sh
  sqllock elect --restart --owner web-1 --value address=10.0.0.7:8080 scheduler -- ./scheduler.sh
  sqllock elect --observe --json scheduler`,
		RunE: func(cmd *cobra.Command, args []string) error { return e.run(cmd, args) },
	}
	f := cmd.Flags()
	f.SetInterspersed(false) // what follows NAME belongs to the command
	e.register(f)
	f.BoolVar(&e.restart, "restart", false, "campaign again when the command has ended by itself")
	f.DurationVar(&e.standBack, "stand-back", 5*time.Second, "with --restart, give others so much time to be elected")
	f.StringArrayVar(&e.values, "value", nil, "KEY=VALUE that is published for as long as this process leads; can be repeated")
	f.BoolVar(&e.observe, "observe", false, "print who leads, and each change of that")
	f.BoolVar(&e.json, "json", false, "with --observe, print JSON")
	f.DurationVar(&e.interval, "interval", time.Second, "with --observe, ask about as often as this")
	return cmd
}

func (e *election) run(cmd *cobra.Command, args []string) error {
	given := cmd.Flags().Changed
	name, command, err := e.split(cmd, args)
	if err == nil {
		err = e.check(given)
	}
	if err != nil {
		return usage(err)
	}
	cfg, err := e.config()
	if err != nil {
		return usage(err)
	}
	ctx := cmd.Context()
	locks, disconnect, err := e.open(ctx, given)
	if err != nil {
		return err
	}
	if e.observe {
		err = e.watchLeader(ctx, locks, name, cfg)
	} else {
		surviveBrokenPipe()
		err = e.lead(ctx, locks, name, command, cfg)
	}
	if errors.Is(err, sqllock.ErrUnsupported) { // to publish, or to look at what was published: for want of tables
		err = &exitError{exitConfig, err}
	}
	err = advise(err)
	if !errors.Is(err, errLost) {
		_ = locks.Close(ctx)
		disconnect()
	}
	return err
}

// split takes the arguments apart, and finds flags that are of no use to what is asked for.
func (e *election) split(cmd *cobra.Command, args []string) (name string, command []string, err error) {
	useless, why := []string{"json", "interval"}, "is for --observe"
	if e.observe {
		useless, why = []string{"restart", "stand-back", "value", "ttl", "kill-after"}, "is for those who lead, not for --observe"
	}
	for _, flag := range useless {
		if cmd.Flags().Changed(flag) {
			return "", nil, fmt.Errorf("--%s %s", flag, why)
		}
	}
	if !e.observe {
		return split(cmd.Name(), args, cmd.ArgsLenAtDash() == 0)
	}
	if len(args) != 1 {
		return "", nil, errors.New("elect --observe needs the NAME of an election, and nothing else")
	}
	return args[0], nil, nil
}

// config is what the flags say about the election.
func (e *election) config() (leaderelect.Config, error) {
	cfg := leaderelect.Config{StandBack: e.standBack, ObserveInterval: e.interval, Logger: e.campaignLogger()}
	if e.standBack < time.Millisecond || e.standBack > 24*time.Hour {
		return cfg, fmt.Errorf("--stand-back %v: the time is between 1ms and 24h", e.standBack)
	}
	if e.interval < time.Millisecond || e.interval > time.Hour {
		return cfg, fmt.Errorf("--interval %v: the time is between 1ms and 1h", e.interval)
	}
	for _, value := range e.values {
		key, text, ok := strings.Cut(value, "=")
		if !ok || key == "" {
			return cfg, fmt.Errorf("--value %q is not KEY=VALUE", value)
		}
		if cfg.Value == nil {
			cfg.Value = make(map[string]string)
		}
		cfg.Value[key] = text
	}
	return cfg, nil
}

// campaignLogger tells of failures always: a campaign goes on after them, and nobody would ever know.
func (e *election) campaignLogger() *slog.Logger {
	level := slog.LevelWarn
	if e.verbose {
		level = slog.LevelInfo
	}
	return slog.New(slog.NewTextHandler(redacting{e.messages}, &slog.HandlerOptions{Level: level}))
}

// errEnded ends a term whose command was ended because the lock was lost, or about to be.
var errEnded = errors.New("the command was ended for want of the lock")

// lead runs the command in each term, until it has ended by itself or there was a signal.
func (e *election) lead(ctx context.Context, locks *sqllock.Client, name string, command []string, cfg leaderelect.Config) error {
	signals := catchSignals()
	// What is wrong with the database should not look like an election that others win.
	if err := untilSignal(ctx, signals, locks.Ping); err != nil {
		return err
	}
	c, err := e.startCampaign(ctx, locks, name, cfg)
	if err != nil {
		return err
	}
	for again := true; again && err == nil; {
		var t tenure
		err = untilSignal(ctx, signals, func(ctx context.Context) (err error) {
			t, err = c.elected(ctx)
			return err
		})
		if err == nil {
			again, err = e.serve(t, command, signals)
		} else if t.over != nil { // the signal came with the election
			t.over <- nil
		}
	}
	if !errors.Is(err, errLost) {
		c.end()
	}
	return err
}

// serve runs the command for as long as the term lasts. again says that another term is to follow, and then there is no error.
func (e *election) serve(t tenure, command []string, signals <-chan os.Signal) (again bool, err error) {
	err = e.supervise(t.term.Lock(), command, signals)
	if errors.Is(err, errLost) {
		if e.interrupted {
			return false, err // nothing is left to tell the database, which may not even answer
		}
		t.over <- errEnded
		return true, nil
	}
	var exit *exitError
	byItself := !errors.As(err, &exit) || exit.err == nil
	again = byItself && e.restart && !e.interrupted
	if again && err != nil {
		t.over <- fmt.Errorf("the command ended with exit code %d", exit.code)
	} else {
		t.over <- nil
	}
	if reason := <-t.reason; byItself && errors.Is(reason, sqllock.ErrLost) { // which is noticed only now
		again, err = !e.interrupted, &exitError{exitLost, reason}
	}
	if again {
		return true, nil
	}
	return false, err
}

// campaign is an elector at work, whose terms are led by the goroutine that gets the signals.
type campaign struct {
	name  string
	terms chan tenure
	stop  context.CancelFunc
	ended chan struct{} // closed when the elector has ended
	err   error         // what it has returned, to be read then
}

// tenure is a term. The zero value is none.
type tenure struct {
	term   leaderelect.Term
	over   chan error // is waited for, to be told how the command has ended
	reason chan error // tells why the term has ended, once the lock is released
}

func (e *election) startCampaign(ctx context.Context, locks *sqllock.Client, name string, cfg leaderelect.Config) (*campaign, error) {
	c := &campaign{name: name, terms: make(chan tenure), ended: make(chan struct{})}
	var t tenure
	cfg.OnElected = func(ctx context.Context, term leaderelect.Term) error {
		t = tenure{term, make(chan error), make(chan error, 1)}
		select {
		case c.terms <- t:
			return <-t.over
		case <-ctx.Done():
			return nil
		}
	}
	cfg.OnDemoted = func(_ leaderelect.Term, reason error) { t.reason <- reason }
	elector, err := leaderelect.New(locks, name, cfg)
	if err != nil {
		return nil, err
	}
	ctx, c.stop = context.WithCancel(ctx)
	go func() {
		defer close(c.ended)
		c.err = elector.Run(ctx)
	}()
	return c, nil
}

// elected waits for a term.
func (c *campaign) elected(ctx context.Context) (tenure, error) {
	select {
	case t := <-c.terms:
		return t, nil
	case <-c.ended:
		return tenure{}, c.err
	case <-ctx.Done():
		return tenure{}, fmt.Errorf("not elected for %q: %w", c.name, context.Cause(ctx))
	}
}

// end ends the campaign, and waits for that.
func (c *campaign) end() {
	c.stop()
	<-c.ended
}
