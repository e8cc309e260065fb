package testdb

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"testing"

	"go.uber.org/goleak"
)

// Main runs the tests of a package, from its TestMain, and exits. Before that it
// ends every server that the tests started and, if all of them passed, fails the
// run for any goroutine that is still there.
func Main(m *testing.M) {
	code := m.Run()
	if err := runEndings(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = max(code, 1)
	}
	if code == 0 {
		launched.Wait() // a process that was killed may take a while to end on a busy machine
		if err := goleak.Find(); err != nil {
			fmt.Fprintf(os.Stderr, "testdb: the tests passed, but left goroutines behind: %v\n", err)
			code = 1
		}
	}
	os.Exit(code)
}

// endings is what has to be ended when the tests are over.
var endings struct {
	sync.Mutex
	funcs []func() error
}

func atEnd(end func() error) {
	endings.Lock()
	defer endings.Unlock()
	endings.funcs = append(endings.funcs, end)
}

func runEndings() error {
	endings.Lock()
	defer endings.Unlock()
	var errs []error
	for _, end := range slices.Backward(endings.funcs) {
		errs = append(errs, end())
	}
	endings.funcs = nil
	return errors.Join(errs...)
}
