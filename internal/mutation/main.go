package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
)

func main() {
	run := flag.String("run", "", "only defects whose name matches this regular expression")
	atOnce := flag.Int("j", 2, "so many at a time")
	list := flag.Bool("list", false, "say what each defect would do to users, and try none")
	verbose := flag.Bool("v", false, "print what the tests say where a defect is not caught")
	flag.Parse()
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt)
	defer cancel()
	chosen, err := choose(*run)
	switch {
	case err != nil:
	case *list:
		for _, d := range chosen {
			fmt.Printf("%s: %s\n", d.name, d.harm)
		}
	default:
		err = tryAll(ctx, chosen, *atOnce, *verbose)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "mutation:", err)
		cancel()
		os.Exit(1)
	}
}

func choose(run string) ([]defect, error) {
	pattern, err := regexp.Compile(run)
	if err != nil {
		return nil, err
	}
	chosen := slices.DeleteFunc(slices.Clone(defects), func(d defect) bool { return !pattern.MatchString(d.name) })
	if len(chosen) == 0 {
		return nil, fmt.Errorf("no defect matches %q", run)
	}
	return chosen, nil
}

// moduleRoot is where go.mod is.
func moduleRoot(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		return "", fmt.Errorf("go list -m: %w", err)
	}
	return strings.TrimSpace(string(out)), nil
}

// tryAll prints a line for each defect as soon as its tests have ended.
func tryAll(ctx context.Context, chosen []defect, atOnce int, verbose bool) error {
	started := time.Now()
	root, err := moduleRoot(ctx)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "mutation-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	// Servers that tests start as another user have to reach what is there.
	if err := os.Chmod(dir, 0o755); err != nil {
		return err
	}
	b := bench{root: root, dir: dir}
	sound, err := b.baselines(ctx, chosen, atOnce)
	if err != nil {
		return err
	}

	var mu sync.Mutex // of what follows, and of the output
	var holes []string
	inParallel(chosen, atOnce, func(n int, d defect) {
		if ctx.Err() != nil {
			return
		}
		r, err := b.try(ctx, n, d, sound[d.pkg])
		mu.Lock()
		defer mu.Unlock()
		switch {
		case ctx.Err() != nil:
		case err != nil:
			holes = append(holes, d.name)
			fmt.Printf("BROKEN  %-50s %v\n", d.name, err)
		case r.caught:
			fmt.Printf("caught  %-50s %5.1f s  %s\n", d.name, r.took.Seconds(), r.by)
		default:
			holes = append(holes, d.name)
			fmt.Printf("MISSED  %-50s %5.1f s  %s: %s\n", d.name, r.took.Seconds(), r.why, d.harm)
			if verbose {
				text, _, _ := strings.Cut(r.text, "\ngoroutine ")
				fmt.Println(text)
			}
		}
	})
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	fmt.Printf("%d of %d defects caught in %.0f s\n", len(chosen)-len(holes), len(chosen), time.Since(started).Seconds())
	if len(holes) > 0 {
		slices.Sort(holes)
		return fmt.Errorf("not caught: %s", strings.Join(holes, ", "))
	}
	return nil
}

// baselines are the tests of each package that pass without a defect.
func (b bench) baselines(ctx context.Context, chosen []defect, atOnce int) (map[string]map[string]bool, error) {
	runs := make(map[string][]string)
	var pkgs []string
	for _, d := range chosen {
		if runs[d.pkg] == nil {
			pkgs = append(pkgs, d.pkg)
		}
		if !slices.Contains(runs[d.pkg], d.run) {
			runs[d.pkg] = append(runs[d.pkg], d.run)
		}
	}
	sound := make(map[string]map[string]bool)
	var mu sync.Mutex
	var first error
	inParallel(pkgs, atOnce, func(_ int, pkg string) {
		started := time.Now()
		passed, err := b.baseline(ctx, pkg, runs[pkg])
		mu.Lock()
		defer mu.Unlock()
		if err != nil {
			if first == nil {
				first = err
			}
			return
		}
		sound[pkg] = passed
		fmt.Printf("sound   %-50s %5.1f s\n", filepath.ToSlash(pkg), time.Since(started).Seconds())
	})
	return sound, first
}

// inParallel calls f for each, so many at a time.
func inParallel[T any](all []T, atOnce int, f func(n int, one T)) {
	var wg sync.WaitGroup
	places := make(chan struct{}, max(atOnce, 1))
	for n, one := range all {
		places <- struct{}{}
		wg.Go(func() {
			defer func() { <-places }()
			f(n, one)
		})
	}
	wg.Wait()
}
