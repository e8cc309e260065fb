package locktest

import (
	"errors"
	"os"
)

var errNoStop = errors.New("locktest: a process cannot be stopped on this system")

func stopProcess(*os.Process) error { return errNoStop }

func resumeProcess(*os.Process) error { return errNoStop }
