package testdb

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

// janitorName is the argv[0] under which a test binary is the janitor of another
// one. It is what ps shows.
const janitorName = "sqllock-testdb-janitor"

// The janitor is the test binary itself, so that it ends servers with the same
// code as the tests do. It has to branch off before any TestMain runs.
func init() {
	if os.Args[0] != janitorName {
		return
	}
	if err := clean(); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	os.Exit(0)
}

// clean makes a home, says where on standard output, waits for the end of
// standard input, and then ends every server in it and removes it.
func clean() error {
	// Nothing but the end of its test process may end a janitor: not a signal to
	// everything of this name, and not a test process that dies before it has
	// read the answer.
	signal.Ignore(syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGPIPE)

	home, err := os.MkdirTemp(parentOfHomes(), "sqllock-testdb-")
	if err != nil {
		return err
	}
	// The processes that work below home are found by path, and the kernel's
	// paths contain no symbolic links.
	if home, err = filepath.EvalSymlinks(home); err != nil {
		return err
	}
	fmt.Println(home)
	_, _ = io.Copy(io.Discard, os.Stdin)
	awaitTemplates(home)
	return sweep(home)
}

// sweep tries again because a killed program may leave a child that still writes
// for an instant.
func sweep(home string) error {
	giveUp := time.Now().Add(30 * time.Second)
	for {
		dirs, err := serverDirs(home)
		for _, dir := range dirs {
			err = errors.Join(err, killServer(dir))
		}
		err = errors.Join(err, os.RemoveAll(home))
		if err == nil || time.Now().After(giveUp) {
			return err
		}
		time.Sleep(10 * time.Millisecond)
	}
}
