package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/go-zookeeper/zk"
)

// zookeeperClasses are Debian's: the configuration of the log, and the server.
const zookeeperClasses = "/etc/zookeeper/conf:/usr/share/java/zookeeper.jar"

func startZooKeeper(ctx context.Context, l *lab) (*server, error) {
	dir, port, err := l.newServerDir("zookeeper")
	if err != nil {
		return nil, err
	}
	// Debian's zoo.cfg, but for the directory and the port.
	config := fmt.Sprintf("tickTime=2000\ninitLimit=10\nsyncLimit=5\ndataDir=%s\nclientPort=%d\nclientPortAddress=127.0.0.1\nadmin.enableServer=false\n",
		filepath.Join(dir, "data"), port)
	file := filepath.Join(dir, "zoo.cfg")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		return nil, err
	}
	if err := startDaemon(ctx, l, dir, port, "java", "-cp", zookeeperClasses,
		"org.apache.zookeeper.server.quorum.QuorumPeerMain", file); err != nil {
		return nil, err
	}
	address := loopback(port)
	// It accepts connections long before it serves them, and some of those it never answers.
	patient, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if err := await(patient, 50*time.Millisecond, func() (bool, error) {
		answer, err := zookeeperStatus(patient, address)
		return err == nil && answer["Mode"] != "", nil
	}); err != nil {
		return nil, fmt.Errorf("ZooKeeper does not serve after a minute: %w", err)
	}
	conn, err := openZooKeeper(ctx, address, 10*time.Second)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if _, err := conn.Create("/bench", nil, 0, zk.WorldACL(zk.PermAll)); err != nil {
		return nil, err
	}
	answer, err := zookeeperStatus(ctx, address)
	if err != nil {
		return nil, err
	}
	version, _, _ := strings.Cut(answer["Zookeeper version"], "-")
	return &server{
		version: "ZooKeeper " + version, address: address, port: port,
		self:       1,
		durability: "is on disk: fsync; one node, where people run three",
		statements: func(ctx context.Context) (int64, error) {
			answer, err := zookeeperStatus(ctx, address)
			if err != nil {
				return 0, err
			}
			return strconv.ParseInt(answer["Received"], 10, 64)
		},
	}, nil
}

// zookeeperStatus asks with the only one of the words of four letters that is allowed by default.
func zookeeperStatus(ctx context.Context, address string) (map[string]string, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(2 * time.Second)); err != nil {
		return nil, err
	}
	if _, err := io.WriteString(conn, "srvr"); err != nil {
		return nil, err
	}
	all, err := io.ReadAll(conn)
	if err != nil {
		return nil, err
	}
	answer := make(map[string]string)
	for line := range strings.Lines(string(all)) {
		if key, value, ok := strings.Cut(line, ":"); ok {
			answer[key] = strings.TrimSpace(value)
		}
	}
	return answer, nil
}
