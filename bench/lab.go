package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"
)

// A lab is a run: its servers, and what they leave behind.
type lab struct {
	settings
	start    time.Time
	data     string // the directory of this run
	servers  map[kind]*server
	absent   map[kind]error // why a server does not run
	cleanups []func() error
}

// openLab starts the servers that the contestants of the measures need.
func openLab(ctx context.Context, s settings, measures []measure) (*lab, error) {
	l := &lab{settings: s, start: time.Now(), servers: make(map[kind]*server), absent: make(map[kind]error)}
	// testdb.StartPostgres asks for -short.
	if err := flag.CommandLine.Parse(nil); err != nil {
		return nil, err
	}
	var err error
	if l.data, err = os.MkdirTemp(s.dir, "sqllock-bench-"); err != nil {
		return nil, err
	}
	l.cleanup(func() error { return os.RemoveAll(l.data) })
	// Servers run as users of their own.
	if err := errors.Join(os.Chmod(l.data, 0o755), os.Setenv("TMPDIR", l.data)); err != nil {
		return nil, errors.Join(err, l.close())
	}
	needed := make(map[kind]bool)
	for _, m := range measures {
		for _, c := range m.field(s) {
			needed[c.on] = true
		}
	}
	for _, k := range slices.Sorted(maps.Keys(starters)) {
		if !needed[k] {
			continue
		}
		l.progress("starting %s", k)
		if srv, err := starters[k](ctx, l); err != nil {
			l.absent[k] = fmt.Errorf("%s does not run here: %w", k, err)
			l.progress("%v", l.absent[k])
		} else {
			l.servers[k] = srv
		}
	}
	if ctx.Err() != nil {
		return nil, errors.Join(context.Cause(ctx), l.close())
	}
	return l, nil
}

func (l *lab) cleanup(f func() error) { l.cleanups = append(l.cleanups, f) }

func (l *lab) close() error {
	var errs []error
	for _, f := range slices.Backward(l.cleanups) {
		errs = append(errs, f())
	}
	return errors.Join(errs...)
}

// progress is for whoever waits at the terminal.
func (l *lab) progress(format string, args ...any) {
	elapsed := time.Since(l.start).Round(time.Second)
	fmt.Fprintf(os.Stderr, "%4d:%02d %s\n", int(elapsed.Minutes()), int(elapsed.Seconds())%60, fmt.Sprintf(format, args...))
}

// describe says on what the figures were measured.
func (l *lab) describe() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s; data on %s; %d rounds at most, slices of %v.\n\n", machine(), fileSystem(l.data), l.rounds, l.slice)
	fmt.Fprintln(&b, "| server | what it has acknowledged |\n|---|---|")
	for _, k := range slices.Sorted(maps.Keys(l.servers)) {
		fmt.Fprintf(&b, "| %s | %s |\n", l.servers[k].version, l.servers[k].durability)
	}
	for _, k := range slices.Sorted(maps.Keys(l.absent)) {
		fmt.Fprintf(&b, "| %s | not run: %s |\n", k, oneLine(l.absent[k]))
	}
	return b.String()
}

// oneLine is an error in a cell of a table.
func oneLine(err error) string {
	return strings.NewReplacer("\n", "; ", "|", "\\|").Replace(err.Error())
}
