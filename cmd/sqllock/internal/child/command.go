package child

import (
	"fmt"
	"os"
)

// Command says what to run.
type Command struct {
	// Args are the program and its arguments, passed on as they are. A program without a slash is looked up in this
	// process's PATH.
	Args []string

	// Env is the complete environment of the command: nil means an empty one.
	Env []string

	// Stdin, Stdout and Stderr become the command's descriptors 0, 1 and 2 themselves. Nil means the null device. Of
	// our other descriptors it gets only those that we ourselves inherited without close-on-exec.
	Stdin, Stdout, Stderr *os.File

	// Resume, if set, is asked after the command was stopped from the terminal together with this process, and this
	// process was continued. If it returns false the command stays stopped, and somebody should call Terminate. It may
	// block; Terminate works meanwhile. Nil means yes.
	Resume func() bool
}

// The exit codes of commands that did not start, as the shells and env(1) have them.
const (
	CodeCannotStart = 126
	CodeNotFound    = 127
)

// StartError says that a command did not start through a fault of its own. It wraps the system's error.
type StartError struct {
	Program string
	Code    int // CodeNotFound, or CodeCannotStart
	Err     error
}

func (e *StartError) Error() string {
	return fmt.Sprintf("child: cannot start %q: %v", e.Program, e.Err)
}
func (e *StartError) Unwrap() error { return e.Err }
