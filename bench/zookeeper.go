package main

import (
	"context"
	"fmt"
	"time"

	"github.com/go-zookeeper/zk"
)

var zookeeperContestants = []contestant{
	{name: zookeeperSets, on: onZooKeeper, camp: floors, open: openZooKeeperFloor},
	{name: "ZooKeeper recipe", camp: peers, on: onZooKeeper, gives: gives{ends: withBoth}, floor: zookeeperSets, open: openZooKeeperLocks},
}

type silence struct{}

func (silence) Printf(string, ...any) {}

// openZooKeeper returns when there is a session, which is what all of its calls wait for.
func openZooKeeper(ctx context.Context, address string, timeout time.Duration) (*zk.Conn, error) {
	conn, events, err := zk.Connect([]string{address}, timeout, zk.WithLogger(silence{}))
	if err != nil {
		return nil, err
	}
	for late := time.After(10 * time.Second); ; {
		select {
		case event := <-events:
			if event.State == zk.StateHasSession {
				return conn, nil
			}
		case <-late:
			conn.Close()
			return nil, fmt.Errorf("no session with ZooKeeper after 10 seconds")
		case <-ctx.Done():
			conn.Close()
			return nil, context.Cause(ctx)
		}
	}
}

func openZooKeeperFloor(ctx context.Context, address string, o options) (locker, error) {
	conn, err := openZooKeeper(ctx, address, o.TTL)
	if err != nil {
		return nil, err
	}
	return floor{
		do: func(_ context.Context, name string) error {
			_, err := conn.Set("/bench/floor-"+name, nil, -1)
			if err == zk.ErrNoNode { //nolint:errorlint // it comes as it is
				_, err = conn.Create("/bench/floor-"+name, nil, 0, zk.WorldACL(zk.PermAll))
			}
			return err
		},
		close: func() error { conn.Close(); return nil },
	}, nil
}

// zookeeperLocks cannot leave off waiting but by closing the connection: the recipe takes no context.
type zookeeperLocks struct{ conn *zk.Conn }

func openZooKeeperLocks(ctx context.Context, address string, o options) (locker, error) {
	conn, err := openZooKeeper(ctx, address, o.TTL)
	return zookeeperLocks{conn}, err
}

func (z zookeeperLocks) Lock(_ context.Context, name string) (func(context.Context) error, error) {
	lock := zk.NewLock(z.conn, "/bench/"+name, zk.WorldACL(zk.PermAll))
	if err := lock.Lock(); err != nil {
		return nil, err
	}
	return func(context.Context) error { return lock.Unlock() }, nil
}

func (z zookeeperLocks) Close() error {
	z.conn.Close()
	return nil
}
