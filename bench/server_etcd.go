package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
)

func startEtcd(ctx context.Context, l *lab) (*server, error) {
	dir, port, err := l.newServerDir("etcd")
	if err != nil {
		return nil, err
	}
	peer, err := freePort()
	if err != nil {
		return nil, err
	}
	client, self := "http://"+loopback(port), "http://"+loopback(peer)
	if err := startDaemon(ctx, l, dir, port, "etcd", "--data-dir", filepath.Join(dir, "data"),
		"--listen-client-urls", client, "--advertise-client-urls", client,
		"--listen-peer-urls", self, "--initial-advertise-peer-urls", self, "--initial-cluster", "default="+self); err != nil {
		return nil, err
	}
	c, err := openEtcd(loopback(port))
	if err != nil {
		return nil, err
	}
	status, err := c.Status(ctx, loopback(port))
	if err := errors.Join(err, c.Close()); err != nil {
		return nil, err
	}
	return &server{
		version: "etcd " + status.Version, address: loopback(port), port: port,
		durability: "is on disk: fsync; one node, where people run three",
		statements: func(ctx context.Context) (int64, error) { return grpcMessages(ctx, client+"/metrics") },
	}, nil
}

// grpcMessages counts all that clients have sent, on streams too.
func grpcMessages(ctx context.Context, url string) (n int64, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, err
	}
	request.Close = true // else it would be one of the connections that are counted
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, err
	}
	defer answer.Body.Close()
	lines := bufio.NewScanner(answer.Body)
	for lines.Scan() {
		if !strings.HasPrefix(lines.Text(), "grpc_server_msg_received_total{") {
			continue
		}
		fields := strings.Fields(lines.Text())
		value, err := strconv.ParseFloat(fields[len(fields)-1], 64)
		if err != nil {
			return 0, fmt.Errorf("%s: %w", url, err)
		}
		n += int64(value)
	}
	return n, lines.Err()
}
