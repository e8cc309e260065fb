//go:build !linux

package testdb

import (
	"errors"
	"os"
	"os/exec"
)

// errNoPrograms keeps server programs from being used where their processes
// cannot be found and frozen. Nothing below is reached but by way of it.
var errNoPrograms = errors.New("testdb: server programs are run on Linux only")

func ownSession(*exec.Cmd) {}

func asServer(*exec.Cmd, string) error { return errNoPrograms }

func parentOfHomes() string { return os.TempDir() }

func handOver(string) error { return errNoPrograms }

func killServer(string) error { return errNoPrograms }

func awaitIdle(string) {}

func freezeServer(string) error { return errNoPrograms }

func thawServer(string) error { return errNoPrograms }
