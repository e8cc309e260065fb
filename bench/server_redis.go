package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"
)

func startRedis(ctx context.Context, l *lab) (*server, error) {
	dir, port, err := l.newServerDir("redis")
	if err != nil {
		return nil, err
	}
	if err := startDaemon(ctx, l, dir, port, "redis-server", "--port", strconv.Itoa(port), "--bind", "127.0.0.1", "--dir", dir); err != nil {
		return nil, err
	}
	client := redis.NewClient(&redis.Options{Addr: loopback(port), PoolSize: 1})
	l.cleanup(client.Close)
	info := func(ctx context.Context, field string) (string, error) {
		all, err := client.Info(ctx, "everything").Result()
		if err != nil {
			return "", err
		}
		for line := range strings.Lines(all) {
			if value, ok := strings.CutPrefix(line, field+":"); ok {
				return strings.TrimSpace(value), nil
			}
		}
		return "", fmt.Errorf("INFO of Redis has no %s", field)
	}
	version, err := info(ctx, "redis_version")
	if err != nil {
		return nil, err
	}
	return &server{
		version: "Redis " + version, address: loopback(port), port: port,
		self:       1,
		durability: "is in memory; snapshots from time to time (RDB), so a crash forgets locks that are held",
		statements: func(ctx context.Context) (int64, error) {
			n, err := info(ctx, "total_commands_processed")
			if err != nil {
				return 0, err
			}
			return strconv.ParseInt(n, 10, 64)
		},
	}, nil
}
