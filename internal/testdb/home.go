package testdb

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
)

// home returns the directory below which all servers of this process live. The
// janitor, started with the first call, owns it.
var home = sync.OnceValues(openHome)

func openHome() (string, error) {
	executable, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("testdb: find the program for the janitor: %w", err)
	}
	janitor := exec.Command(executable)
	janitor.Args = []string{janitorName}
	ownSession(janitor)
	// Both of our pipe ends are close-on-exec: no server inherits the lifeline,
	// else the janitor would wait for the server that it has to kill.
	lifeline, err := janitor.StdinPipe()
	if err != nil {
		return "", fmt.Errorf("testdb: %w", err)
	}
	stdout, err := janitor.StdoutPipe()
	if err != nil {
		return "", fmt.Errorf("testdb: %w", err)
	}
	if err := janitor.Start(); err != nil {
		return "", fmt.Errorf("testdb: start the janitor: %w", err)
	}
	answers := bufio.NewReader(stdout)
	end := func() error {
		_ = lifeline.Close()
		complaint, _ := io.ReadAll(answers)
		if err := janitor.Wait(); err != nil {
			return fmt.Errorf("testdb: janitor: %w: %s", err, complaint)
		}
		return nil
	}
	line, err := answers.ReadString('\n')
	if err != nil {
		return "", errors.Join(fmt.Errorf("testdb: the janitor made no directory: %w: %s", err, line), end())
	}
	atEnd(end)
	dir := strings.TrimSuffix(line, "\n")
	if err := handOver(dir); err != nil {
		return "", err
	}
	return dir, nil
}

// newServerDir makes a directory for one server, which belongs to the user that
// server programs run as.
func newServerDir(kind string) (string, error) {
	home, err := home()
	if err != nil {
		return "", err
	}
	dir, err := os.MkdirTemp(home, kind+"-")
	if err != nil {
		return "", fmt.Errorf("testdb: %w", err)
	}
	return dir, handOver(dir)
}

// runAsServer runs a program to its end, in dir and as the user that servers run
// as.
func runAsServer(dir, program string, args ...string) error {
	_, err := outputAsServer(dir, program, args...)
	return err
}

// outputAsServer is runAsServer, and returns what the program has printed.
func outputAsServer(dir, program string, args ...string) ([]byte, error) {
	cmd := exec.Command(program, args...)
	if err := asServer(cmd, dir); err != nil {
		return nil, err
	}
	output, err := cmd.CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("testdb: %s in %s: %w\n%s", program, dir, err, output)
	}
	return output, nil
}

// removeServerDir removes what killServer has left of a server.
func removeServerDir(dir string) error {
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("testdb: %w", err)
	}
	return nil
}

// serverDirs lists the directories that newServerDir made in home.
func serverDirs(home string) ([]string, error) {
	return filepath.Glob(filepath.Join(home, "*-*"))
}
