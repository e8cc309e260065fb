package child

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
)

// lookup finds the program's file. Its error is a *StartError.
func lookup(program string) (string, error) {
	path, err := exec.LookPath(program)
	// ErrDot warns of a relative PATH entry. This is the user's own command with the user's own PATH, as in a shell.
	if err == nil || errors.Is(err, exec.ErrDot) {
		return path, nil
	}
	var reason *exec.Error // its text repeats the program's name
	if errors.As(err, &reason) {
		err = reason.Err
	}
	code := CodeCannotStart
	switch {
	case errors.Is(err, exec.ErrNotFound) && isInPath(program):
		err = fs.ErrPermission
	case errors.Is(err, exec.ErrNotFound), errors.Is(err, fs.ErrNotExist):
		code = CodeNotFound
	}
	return "", &StartError{Program: program, Code: code, Err: err}
}

// isInPath tells a file in the PATH that cannot be executed from none at all. LookPath passes over both.
func isInPath(program string) bool {
	if program == "" || filepath.Base(program) != program {
		return false
	}
	for _, dir := range filepath.SplitList(os.Getenv("PATH")) {
		if file, err := os.Stat(filepath.Join(dir, program)); err == nil && file.Mode().IsRegular() {
			return true
		}
	}
	return false
}
