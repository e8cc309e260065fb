package main

import (
	"fmt"
	"testing"
)

// bed is a testing.TB that is not of a test: it lets this program use the servers of tests. Fatal ends nothing but [inBed].
type bed struct {
	testing.TB // whose other methods are not called
	lab        *lab
}

type fatal string

// inBed runs f, and returns what it has called Fatal with.
func inBed(l *lab, f func(*bed)) (err error) {
	defer func() {
		if what := recover(); what != nil {
			reason, ok := what.(fatal)
			if !ok {
				panic(what)
			}
			err = fmt.Errorf("%s", reason)
		}
	}()
	f(&bed{lab: l})
	return nil
}

func (b *bed) Helper()           {}
func (b *bed) Failed() bool      { return false }
func (b *bed) Fatal(args ...any) { panic(fatal(fmt.Sprint(args...))) }

func (b *bed) Fatalf(format string, args ...any) { panic(fatal(fmt.Sprintf(format, args...))) }

func (b *bed) Error(args ...any) { b.lab.progress("%s", fmt.Sprint(args...)) }

func (b *bed) Cleanup(f func()) {
	b.lab.cleanup(func() error {
		f()
		return nil
	})
}
