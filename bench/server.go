package main

import (
	"context"
	"time"
)

// kind is what locks are kept in.
type kind string

const (
	onPostgres  kind = "PostgreSQL"
	onMySQL     kind = "MariaDB"
	onSQLite    kind = "SQLite"
	onRedis     kind = "Redis"
	onEtcd      kind = "etcd"
	onZooKeeper kind = "ZooKeeper"
)

var starters = map[kind]func(context.Context, *lab) (*server, error){
	onPostgres: startPostgres, onMySQL: startMySQL, onSQLite: startSQLite,
	onRedis: startRedis, onEtcd: startEtcd, onZooKeeper: startZooKeeper,
}

// A server is one that runs, for this program alone.
type server struct {
	version    string
	durability string // what becomes of a change that it has acknowledged
	address    string // what contestants open
	port       int    // 0 if it is a file

	// counting makes statements count, where that costs something; else nil.
	counting func(ctx context.Context, on bool) error

	// statements counts what it was asked since it began, snapshots those who keep it from clearing up now; nil where there is no such thing.
	statements func(context.Context) (int64, error)
	self       int64 // how many of the statements are the question for them
	snapshots  func(context.Context) (int64, error)
}

// connections are those that others than we ourselves have.
func (s *server) connections() (float64, error) {
	if s.port == 0 {
		return 0, nil
	}
	n, err := connections(s.port, established)
	return float64(n), err
}

// quiet waits until what a contestant has closed is gone on the side of the server too, so that the next has the server for itself.
func (s *server) quiet(ctx context.Context, before int) error {
	for giveUp := time.Now().Add(15 * time.Second); s.port != 0 && time.Now().Before(giveUp); {
		n, err := connections(s.port, established, closeWait)
		if err != nil || n <= before {
			return err
		}
		if err := sleep(ctx, 20*time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}

// The largest number of connections that the servers are asked to take: enough for a thousand who hold one each.
const maxConnections = 1200
