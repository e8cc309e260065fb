package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"time"
)

// startDaemon runs a server of the peers until the lab is closed, and returns when it accepts connections on its port.
func startDaemon(ctx context.Context, l *lab, dir string, port int, program string, args ...string) error {
	path, err := exec.LookPath(program)
	if err != nil {
		return fmt.Errorf("%w: scripts/install-peers.sh installs it on Debian", err)
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(path, args...) //nolint:noctx // it is ended by the lab, after those who use it
	dieWithUs(cmd)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, log, log
	started, exited := make(chan error), make(chan struct{})
	go func() {
		defer close(exited)
		runtime.LockOSThread() // dieWithUs is about the thread that starts, so that has to stay
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		return err
	}
	l.cleanup(func() error {
		err := cmd.Process.Kill()
		<-exited
		if errors.Is(err, os.ErrProcessDone) {
			return fmt.Errorf("%s has ended before its time; its log was in %s", program, dir)
		}
		return err
	})
	for giveUp := time.After(time.Minute); ; {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", loopback(port))
		if err == nil {
			return conn.Close()
		}
		select {
		case <-exited:
			text, _ := os.ReadFile(log.Name())
			return fmt.Errorf("%s has ended instead of starting: %s", program, text[max(0, len(text)-1000):])
		case <-giveUp:
			return fmt.Errorf("%s is not ready after a minute: %w", program, err)
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// newServerDir makes the directory of a server, and chooses a port.
func (l *lab) newServerDir(name string) (dir string, port int, err error) {
	dir = filepath.Join(l.data, name)
	if err := os.Mkdir(dir, 0o755); err != nil {
		return "", 0, err
	}
	port, err = freePort()
	return dir, port, err
}

func freePort() (int, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // nothing to wait for
	if err != nil {
		return 0, err
	}
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port, nil
}

func loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }
