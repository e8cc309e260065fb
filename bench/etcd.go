package main

import (
	"context"
	"errors"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
	"go.uber.org/zap"
)

var etcdContestants = []contestant{
	{name: etcdPuts, on: onEtcd, camp: floors, open: openEtcdFloor},
	{
		name: "etcd concurrency.Mutex", camp: peers, on: onEtcd, gives: gives{ends: withBoth, token: true}, floor: etcdPuts,
		open: openEtcdMutex, stand: openEtcdElection,
	},
}

func openEtcd(address string) (*clientv3.Client, error) {
	return clientv3.New(clientv3.Config{Endpoints: []string{address}, DialTimeout: 10 * time.Second, Logger: zap.NewNop()})
}

func openEtcdFloor(_ context.Context, address string, _ options) (locker, error) {
	client, err := openEtcd(address)
	if err != nil {
		return nil, err
	}
	return floor{
		do: func(ctx context.Context, name string) error {
			_, err := client.Put(ctx, "floor/"+name, "")
			return err
		},
		close: client.Close,
	}, nil
}

// etcdMutexes has a session for each goroutine that wants the same name: within one, they would not exclude each other.
type etcdMutexes struct {
	client *clientv3.Client
	ttl    int // seconds

	mu   sync.Mutex
	free map[string][]*concurrency.Session // by name: those of this process that do not want it now
	all  []*concurrency.Session
}

func seconds(ttl time.Duration) int { return int((ttl + time.Second - 1) / time.Second) }

func openEtcdMutex(_ context.Context, address string, o options) (locker, error) {
	client, err := openEtcd(address)
	if err != nil {
		return nil, err
	}
	return &etcdMutexes{client: client, ttl: seconds(o.TTL), free: make(map[string][]*concurrency.Session)}, nil
}

func (e *etcdMutexes) Lock(ctx context.Context, name string) (func(context.Context) error, error) {
	session, err := e.session(name)
	if err != nil {
		return nil, err
	}
	mutex := concurrency.NewMutex(session, "bench/"+name)
	if err := mutex.Lock(ctx); err != nil {
		e.unwanted(name, session)
		return nil, err
	}
	return func(ctx context.Context) error {
		defer e.unwanted(name, session)
		return mutex.Unlock(ctx)
	}, nil
}

func (e *etcdMutexes) session(name string) (*concurrency.Session, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	free, known := e.free[name]
	if !known {
		free = append(free, e.all...)
	}
	if n := len(free); n > 0 {
		e.free[name] = free[:n-1]
		return free[n-1], nil
	}
	session, err := concurrency.NewSession(e.client, concurrency.WithTTL(e.ttl))
	if err == nil {
		e.all = append(e.all, session)
		e.free[name] = nil
	}
	return session, err
}

func (e *etcdMutexes) unwanted(name string, session *concurrency.Session) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.free[name] = append(e.free[name], session)
}

func (e *etcdMutexes) Close() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	var errs []error
	for _, session := range e.all {
		errs = append(errs, session.Close())
	}
	return errors.Join(append(errs, e.client.Close())...)
}

// etcdCandidate campaigns again when it was elected, and has resigned.
type etcdCandidate struct {
	election *concurrency.Election
	resigned chan struct{}
}

func openEtcdElection(_ context.Context, address string, o options) (candidate, error) {
	client, err := openEtcd(address)
	if err != nil {
		return nil, err
	}
	session, err := concurrency.NewSession(client, concurrency.WithTTL(seconds(o.TTL)))
	if err != nil {
		return nil, err
	}
	return &etcdCandidate{concurrency.NewElection(session, "bench-election"), make(chan struct{})}, nil
}

func (e *etcdCandidate) Campaign(ctx context.Context, elected func()) error {
	for {
		if err := e.election.Campaign(ctx, ""); err != nil {
			return err
		}
		elected()
		select {
		case <-e.resigned:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		time.Sleep(standBack)
	}
}

func (e *etcdCandidate) Resign(ctx context.Context) error {
	err := e.election.Resign(ctx)
	e.resigned <- struct{}{}
	return err
}
