//go:build linux

package child

import (
	"bufio"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

// roleEnv makes this test binary one of the helper programs below.
const roleEnv = "CHILD_TEST_ROLE"

func TestMain(m *testing.M) {
	role := os.Getenv(roleEnv)
	if role == "forgetful" {
		exitLike(startArgs(nil)) // main without RunWatchdogIfAsked
	}
	RunWatchdogIfAsked()
	switch role {
	case "supervisor":
		exitLike(startArgs(nil))
	case "supervisor that reads":
		c, err := startArgs(nil)
		if err == nil {
			<-c.Done()
		}
		line, _ := bufio.NewReader(os.Stdin).ReadString('\n')
		fmt.Printf("ours=<%s>\n", strings.TrimSpace(line))
		exitLike(c, err)
	case "supervisor that refuses":
		refused := make(chan struct{}, 1)
		c, err := startArgs(func() bool {
			refused <- struct{}{}
			return false
		})
		if err == nil {
			select {
			case <-refused:
				c.Terminate(time.Hour)
			case <-c.Done():
			}
		}
		exitLike(c, err)
	case "shell":
		shell()
	}
	heedSignals()
	goleak.VerifyTestMain(m)
}

// heedSignals is for who runs the tests in the background of a script, or with nohup: the shell has signals ignored there, and what a process
// ignores, the programs that it starts ignore too.
func heedSignals() {
	for _, sig := range []os.Signal{syscall.SIGINT, syscall.SIGQUIT, syscall.SIGHUP} {
		if signal.Ignored(sig) {
			signal.Notify(make(chan os.Signal, 1), sig)
		}
	}
}

// startArgs starts the command in our arguments, forwarding signals to it.
func startArgs(resume func() bool) (*Child, error) {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, ForwardedSignals()...)
	c, err := Start(Command{
		Args: os.Args[1:], Env: withoutRole(os.Environ()), Resume: resume,
		Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
	})
	if err == nil {
		go func() {
			for sig := range signals {
				c.Signal(sig)
			}
		}()
	}
	return c, err
}

func exitLike(c *Child, err error) {
	if err != nil {
		_, _ = fmt.Fprintln(os.Stderr, err)
		os.Exit(99)
	}
	code, err := c.Wait()
	if err != nil {
		_, _ = fmt.Fprintln(os.Stderr, err)
		os.Exit(98)
	}
	os.Exit(code)
}

func withoutRole(env []string) (rest []string) {
	for _, variable := range env {
		if !strings.HasPrefix(variable, roleEnv+"=") {
			rest = append(rest, variable)
		}
	}
	return rest
}

// shell does what a shell does for one foreground job, a supervisor with our arguments. On descriptor 3 it reports
// "stopped" and "exit N", on descriptor 4 it expects a line for fg, on descriptor 5 is the job's stdout.
func shell() {
	runtime.LockOSThread() // for give
	report, fg, stdout := os.NewFile(3, "report"), bufio.NewReader(os.NewFile(4, "fg")), os.NewFile(5, "stdout")
	tty := openTerminal()
	job, err := os.StartProcess("/proc/self/exe", append([]string{"job"}, os.Args[2:]...), &os.ProcAttr{
		Env:   append(withoutRole(os.Environ()), roleEnv+"="+os.Args[1]),
		Files: []*os.File{os.Stdin, stdout, os.Stderr},
		Sys:   &syscall.SysProcAttr{Foreground: true, Ctty: 0},
	})
	if err != nil {
		_, _ = fmt.Fprintln(report, "error", err)
		os.Exit(1)
	}
	_ = stdout.Close()
	for {
		var status unix.WaitStatus
		if _, err := unix.Wait4(job.Pid, &status, unix.WUNTRACED, nil); err == unix.EINTR {
			continue
		}
		tty.give(tty.ours)
		if !status.Stopped() {
			_, _ = fmt.Fprintln(report, "exit", status.ExitStatus())
			os.Exit(0)
		}
		_, _ = fmt.Fprintln(report, "stopped")
		_, _ = fg.ReadString('\n')
		tty.give(job.Pid)
		_ = unix.Kill(-job.Pid, unix.SIGCONT)
	}
}
