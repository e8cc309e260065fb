// Package proctest lets a test run parts of itself in processes of their own, which it can start together and kill.
//
// The processes are the test binary, run again for one test, which does what its role says:
//
//	func TestProcess(t *testing.T) {
//		switch role, dsn := proctest.Role(); role {
//		case "":
//			t.Skip("only runs inside other tests")
//		...
package proctest

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
)

const (
	envRole = "SQLLOCK_TEST_ROLE"
	envDSN  = "SQLLOCK_TEST_ROLE_DSN"
	says    = "process says: "
)

// Role returns what this process was started to do, and on which database; empty in the process that go test started.
func Role() (role, dsn string) { return os.Getenv(envRole), os.Getenv(envDSN) }

// Say sends a word to [Process.Await].
func Say(word string) { fmt.Println(says + word) }

// Hold returns when the starter calls [Process.Release], or has ended.
func Hold() { _, _ = io.Copy(io.Discard, os.Stdin) }

// A Process is a process that Start has started. Its methods are for the test's own goroutine.
type Process struct {
	tb     testing.TB
	cmd    *exec.Cmd
	stdin  io.Closer
	stdout *bufio.Reader // and standard error
	output bytes.Buffer  // what was read so far
}

// Start runs the named test of this binary in a new process, in a role. The process is killed when tb ends.
func Start(tb testing.TB, test, role, dsn string) *Process {
	tb.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^"+test+"$")
	cmd.Env = append(os.Environ(), envRole+"="+role, envDSN+"="+dsn)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		tb.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		tb.Fatal(err)
	}
	cmd.Stderr = cmd.Stdout // the same pipe
	p := &Process{tb: tb, cmd: cmd, stdin: stdin}
	p.stdout = bufio.NewReader(io.TeeReader(stdout, &p.output))
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return p
}

// Await returns when the process has said the word.
func (p *Process) Await(word string) {
	p.tb.Helper()
	for {
		line, err := p.stdout.ReadString('\n')
		if strings.TrimSpace(line) == says+word {
			return
		}
		if err != nil {
			p.tb.Fatalf("waiting for %q: %v\n%s", word, err, &p.output)
		}
	}
}

// Release lets the process out of Hold.
func (p *Process) Release() { _ = p.stdin.Close() }

// Succeeds waits for the end of the process, and fails the test if the process has failed.
func (p *Process) Succeeds() {
	p.tb.Helper()
	if err := p.wait(); err != nil {
		p.tb.Errorf("%v\n%s", err, &p.output)
	}
}

// Kill ends the process with SIGKILL and waits for its end.
func (p *Process) Kill() {
	p.tb.Helper()
	if err := p.cmd.Process.Kill(); err != nil {
		p.tb.Fatal(err)
	}
	_ = p.wait()
}

func (p *Process) wait() error {
	_, _ = io.Copy(io.Discard, p.stdout)
	return p.cmd.Wait()
}
