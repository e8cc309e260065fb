package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// bench is where defects are tried: the module, and a directory for what is made.
type bench struct {
	root string
	dir  string
}

// words are the names in a pattern.
var words = regexp.MustCompile(`\w+`)

// How long the tests of one defect may take, of which those that find it take seconds, and those of a whole package without any.
const (
	oneTimeout = time.Minute
	allTimeout = 10 * time.Minute
)

// build compiles the tests of a package, with the text of some files replaced, into a program.
func (b bench) build(ctx context.Context, program, pkg string, replaced map[string]string) error {
	overlay := struct{ Replace map[string]string }{make(map[string]string)}
	for file, text := range replaced {
		other := program + filepath.Ext(file)
		if err := os.WriteFile(other, []byte(text), 0o600); err != nil {
			return err
		}
		overlay.Replace[filepath.Join(b.root, filepath.FromSlash(file))] = other
	}
	list, err := json.Marshal(overlay)
	if err != nil {
		return err
	}
	if err := os.WriteFile(program+".json", list, 0o600); err != nil {
		return err
	}
	compile := exec.CommandContext(ctx, "go", "test", "-c", "-vet=off", "-ldflags=-s -w", "-overlay", program+".json", "-o", program, pkg)
	compile.Dir = b.root
	if out, err := compile.CombinedOutput(); err != nil {
		return fmt.Errorf("%w\n%s", err, out)
	}
	return nil
}

// test runs some of a program's tests in the folder of its package, as go test would.
func (b bench) test(ctx context.Context, program, folder, run string, timeout time.Duration) (report, error) {
	exactly := words.ReplaceAllString(run, "^$0$$") // go test looks for a part of a name
	cmd := exec.CommandContext(ctx, program, "-test.v", "-test.failfast", "-test.run", exactly, "-test.timeout", timeout.String())
	cmd.Dir = folder
	cmd.WaitDelay = 10 * time.Second // for what the tests have started and not ended
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) && !errors.Is(err, exec.ErrWaitDelay) {
		return report{}, err
	}
	return read(string(out), err == nil), ctx.Err()
}

// mirror makes a module that is ours but for one file, and returns the folder of the package whose tests are run: they find the files that the compiler
// was given.
func (b bench) mirror(at string, d defect, text string) (folder string, err error) {
	replaced, pkg := filepath.Clean(filepath.FromSlash(d.file)), filepath.Clean(filepath.FromSlash(d.pkg))
	var copied func(folder string) error
	copied = func(folder string) error {
		entries, err := os.ReadDir(filepath.Join(b.root, folder))
		if err == nil {
			err = os.Mkdir(filepath.Join(at, folder), 0o755)
		}
		for _, entry := range entries {
			if err != nil {
				break
			}
			path := filepath.Join(folder, entry.Name())
			inside := path + string(filepath.Separator)
			switch {
			case path == replaced:
				err = os.WriteFile(filepath.Join(at, path), []byte(text), 0o600)
			case path == pkg || strings.HasPrefix(replaced, inside) || strings.HasPrefix(pkg, inside):
				err = copied(path)
			default:
				err = os.Symlink(filepath.Join(b.root, path), filepath.Join(at, path))
			}
		}
		return err
	}
	return filepath.Join(at, pkg), copied(".")
}

// try puts a defect in and runs the tests that have to find it. sound are the tests that pass without it.
func (b bench) try(ctx context.Context, n int, d defect, sound map[string]bool) (result, error) {
	started := time.Now()
	text, err := d.mutated(b.root)
	if err != nil {
		return result{}, err
	}
	program := filepath.Join(b.dir, fmt.Sprintf("defect-%d", n))
	defer func() {
		for _, suffix := range []string{"", ".json", filepath.Ext(d.file)} {
			_ = os.Remove(program + suffix)
		}
	}()
	if err := b.build(ctx, program, d.pkg, map[string]string{d.file: text}); err != nil {
		return result{}, fmt.Errorf("%s does not compile: %w", d.name, err)
	}
	folder := filepath.Join(b.root, filepath.FromSlash(d.pkg))
	if filepath.Ext(d.file) != ".go" { // but one that tests may read themselves
		defer func() { _ = os.RemoveAll(program + "-files") }()
		if folder, err = b.mirror(program+"-files", d, text); err != nil {
			return result{}, err
		}
	}
	r, err := b.test(ctx, program, folder, d.run, oneTimeout)
	if err != nil {
		return result{}, err
	}
	verdict := r.judge(d, sound)
	verdict.took = time.Since(started)
	return verdict, nil
}

// baseline runs the tests that are to find some defects of a package, without them, and returns those that have passed.
func (b bench) baseline(ctx context.Context, pkg string, runs []string) (map[string]bool, error) {
	program := filepath.Join(b.dir, "sound-"+strings.NewReplacer(".", "", "/", "-").Replace(pkg))
	defer func() { _ = os.Remove(program) }()
	if err := b.build(ctx, program, pkg, nil); err != nil {
		return nil, fmt.Errorf("%s does not compile: %w", pkg, err)
	}
	r, err := b.test(ctx, program, filepath.Join(b.root, filepath.FromSlash(pkg)), strings.Join(runs, "|"), allTimeout)
	if err != nil {
		return nil, err
	}
	if !r.ok {
		return nil, fmt.Errorf("the tests of %s fail without any defect:\n%s", pkg, r.text)
	}
	return r.passed, nil
}
