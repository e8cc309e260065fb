package main

import (
	"context"
	"math"
	"time"

	"github.com/bsm/redislock"
	"github.com/go-redsync/redsync/v4"
	"github.com/go-redsync/redsync/v4/redis/goredis/v9"
	"github.com/redis/go-redis/v9"
	"github.com/redis/rueidis"
	"github.com/redis/rueidis/rueidislock"
)

const redislockName = "redislock"

// redisContestants are what Go programs use most, and the fastest that was seen: rueidislock with one key for each lock in place of three.
var redisContestants = []contestant{
	{name: redisSets, on: onRedis, camp: floors, open: openRedisFloor},
	{name: redislockName, camp: peers, on: onRedis, gives: gives{ends: withTime, byUser: true}, floor: redisSets, poll: pollByHand, open: openRedislock},
	{name: "redsync", camp: peers, on: onRedis, gives: gives{ends: withTime, byUser: true}, floor: redisSets, hand: redislockName, poll: 250 * time.Millisecond, open: openRedsync},
	{name: "rueidislock", camp: peers, on: onRedis, gives: gives{ends: withTime}, floor: redisSets, hand: redislockName, open: openRueidislock(rueidislock.LockerOption{})},
	{
		name: "rueidislock, 1 key, NOLOOP", camp: peers, on: onRedis, gives: gives{ends: withTime}, floor: redisSets, hand: redislockName,
		open: openRueidislock(rueidislock.LockerOption{KeyMajority: 1, NoLoopTracking: true}),
	},
}

func openRedis(address string, o options) *redis.Client {
	return redis.NewClient(&redis.Options{Addr: address, PoolSize: o.Conns})
}

func openRedisFloor(_ context.Context, address string, o options) (locker, error) {
	client := openRedis(address, o)
	return floor{
		do: func(ctx context.Context, name string) error {
			return client.Set(ctx, "floor:"+name, "", time.Minute).Err()
		},
		close: client.Close,
	}, nil
}

type redislocks struct {
	client *redis.Client
	locks  *redislock.Client
	ttl    time.Duration
}

func openRedislock(_ context.Context, address string, o options) (locker, error) {
	client := openRedis(address, o)
	return &redislocks{client, redislock.New(client), o.TTL}, nil
}

func (r *redislocks) Lock(ctx context.Context, name string) (func(context.Context) error, error) {
	// It waits no longer than a TTL, unless the context says how long.
	patient, cancel := context.WithTimeout(ctx, time.Hour)
	defer cancel()
	lock, err := r.locks.Obtain(patient, "redislock:"+name, r.ttl, &redislock.Options{RetryStrategy: redislock.LinearBackoff(pollByHand)})
	if err != nil {
		return nil, err
	}
	alive := renew(r.ttl, func(ctx context.Context) error { return lock.Refresh(ctx, r.ttl, nil) })
	return func(ctx context.Context) error {
		if err := alive.end(); err != nil {
			return err
		}
		return lock.Release(ctx)
	}, nil
}

func (r *redislocks) Close() error { return r.client.Close() }

type redsyncs struct {
	client *redis.Client
	sync   *redsync.Redsync
	ttl    time.Duration
}

func openRedsync(_ context.Context, address string, o options) (locker, error) {
	client := openRedis(address, o)
	return &redsyncs{client, redsync.New(goredis.NewPool(client)), o.TTL}, nil
}

func (r *redsyncs) Lock(ctx context.Context, name string) (func(context.Context) error, error) {
	mutex := r.sync.NewMutex("redsync:"+name, redsync.WithExpiry(r.ttl), redsync.WithTries(math.MaxInt32))
	if err := mutex.LockContext(ctx); err != nil {
		return nil, err
	}
	alive := renew(r.ttl, func(ctx context.Context) error {
		_, err := mutex.ExtendContext(ctx)
		return err
	})
	return func(ctx context.Context) error {
		if err := alive.end(); err != nil {
			return err
		}
		_, err := mutex.UnlockContext(ctx)
		return err
	}, nil
}

func (r *redsyncs) Close() error { return r.client.Close() }

type rueidislocks struct{ rueidislock.Locker }

func openRueidislock(option rueidislock.LockerOption) func(context.Context, string, options) (locker, error) {
	return func(_ context.Context, address string, o options) (locker, error) {
		option := option
		option.ClientOption = rueidis.ClientOption{InitAddress: []string{address}}
		option.KeyValidity = o.TTL
		l, err := rueidislock.NewLocker(option)
		return rueidislocks{l}, err
	}
}

func (r rueidislocks) Lock(ctx context.Context, name string) (func(context.Context) error, error) {
	held, cancel, err := r.WithContext(ctx, name)
	if err != nil {
		return nil, err
	}
	return func(context.Context) error {
		err := context.Cause(held) // it is cancelled when the lock is lost
		cancel()
		return err
	}, nil
}

func (r rueidislocks) Close() error {
	r.Locker.Close()
	return nil
}
