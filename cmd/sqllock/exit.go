package main

import (
	"errors"
	"strings"

	"github.com/sqllock/toolkit/sqllock"
)

// The exit codes that are ours; most are of sysexits(3).
const (
	exitConflict    = 1
	exitUsage       = 64
	exitUnavailable = 69
	exitSystem      = 71
	exitLost        = 75
	exitConfig      = 78
	exitSignal      = 128 // and the signal's number
)

// exitError ends the program with a code. Without an error it says nothing.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return ""
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

func usage(err error) error { return &exitError{exitUsage, err} }

// exitCode is the code for what went wrong.
func exitCode(err error) int {
	var exit *exitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return exit.code
	case errors.Is(err, sqllock.ErrInvalid), errors.Is(err, sqllock.ErrUnsupported):
		return exitUsage
	case errors.Is(err, sqllock.ErrLost):
		return exitLost
	case errors.Is(err, sqllock.ErrSchema), errors.Is(err, sqllock.ErrRefused):
		return exitConfig
	default: // sqllock.ErrTooMany is of the server, and may have passed when it is tried again
		return exitUnavailable
	}
}

// oneLine is a message as people and logs want it; drivers like to report several attempts in several lines.
func oneLine(message string) string {
	lines := strings.Split(strings.TrimSpace(message), "\n")
	for i := range lines {
		lines[i] = strings.TrimSpace(lines[i])
	}
	line := strings.Join(lines, " ")
	if line != "" && !strings.HasPrefix(line, "sqllock: ") {
		line = "sqllock: " + line
	}
	return line
}
