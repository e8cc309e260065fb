package testdb

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// module is what the go command is asked for to find the nested module, which is
// not a dependency of this one.
const module = "github.com/sqllock/toolkit"

// containerEngine returns nil if a container engine answers where DOCKER_HOST
// says, or at the usual place.
func containerEngine() error {
	network, address := "unix", "/var/run/docker.sock"
	if host := os.Getenv("DOCKER_HOST"); host != "" {
		u, err := url.Parse(host)
		if err != nil {
			return fmt.Errorf("DOCKER_HOST: %w", err)
		}
		if network, address = "tcp", u.Host; u.Scheme == "unix" {
			network, address = "unix", u.Path
		}
	}
	conn, err := net.DialTimeout(network, address, 5*time.Second)
	if err != nil {
		return fmt.Errorf("no container engine: %w", err)
	}
	return conn.Close()
}

// startContainer runs the program in containers/ and returns the address that it
// prints. The program ends the container when its standard input is closed, that
// is, when this process has ended, however it did.
func startContainer(kind string) (string, error) {
	list := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", module)
	root, err := list.Output()
	if err != nil {
		return "", fmt.Errorf("testdb: find the module %s: %w", module, err)
	}
	cmd := exec.Command("go", "run", ".", kind)
	cmd.Dir = filepath.Join(strings.TrimSpace(string(root)), "internal", "testdb", "containers")
	cmd.Env = append(os.Environ(), "GOWORK=off")
	ownSession(cmd)
	var complaints bytes.Buffer
	cmd.Stderr = &complaints
	lifeline, err := cmd.StdinPipe()
	if err != nil {
		return "", fmt.Errorf("testdb: %w", err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return "", fmt.Errorf("testdb: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return "", fmt.Errorf("testdb: run the program for containers: %w", err)
	}
	end := func() error {
		_ = lifeline.Close()
		if err := cmd.Wait(); err != nil {
			return fmt.Errorf("testdb: container: %w\n%s", err, complaints.Bytes())
		}
		return nil
	}
	dsn, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		return "", errors.Join(errors.New("testdb: no container was started"), end())
	}
	atEnd(end)
	return strings.TrimSpace(dsn), nil
}
