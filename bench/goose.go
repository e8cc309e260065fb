package main

import (
	"context"
	"database/sql"
	"hash/fnv"
	"log/slog"
	"math"
	"time"

	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3/lock"
)

// gooseLockers are those with which goose keeps migrations apart, here asking as often as they can be told to.
var gooseLockers = []contestant{
	{name: "goose session locker", camp: peers, on: onPostgres, gives: session, floor: postgresTrips, hand: postgresBlock, poll: time.Second, open: openGooseSession},
	{name: "goose table locker", camp: peers, on: onPostgres, gives: gives{ends: withTime}, floor: postgresCommits, hand: postgresLease, poll: pollByHand, open: openGooseTable},
}

const forever = math.MaxInt32 // tries

func openGoose(ctx context.Context, dsn string, conns int) (*sql.DB, func() error, error) {
	pool, err := openPostgres(ctx, dsn, conns)
	if err != nil {
		return nil, nil, err
	}
	db := stdlib.OpenDBFromPool(pool)
	return db, func() error {
		err := db.Close()
		pool.Close()
		return err
	}, nil
}

// gooseID is positive, as a lock in a table has to be.
func gooseID(name string) int64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(name))
	return int64(h.Sum64()>>1) | 1
}

type gooseSessions struct {
	db    *sql.DB
	close func() error
}

func openGooseSession(ctx context.Context, address string, o options) (locker, error) {
	db, closeAll, err := openGoose(ctx, address, o.Conns)
	return gooseSessions{db, closeAll}, err
}

func (g gooseSessions) Lock(ctx context.Context, name string) (func(context.Context) error, error) {
	// A locker of its own, because it counts the tries of all its locks together.
	l, err := lock.NewPostgresSessionLocker(lock.WithLockID(gooseID(name)), lock.WithLockTimeout(1, forever))
	if err != nil {
		return nil, err
	}
	conn, err := g.db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	if err := l.SessionLock(ctx, conn); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return func(ctx context.Context) error {
		defer conn.Close()
		return l.SessionUnlock(ctx, conn)
	}, nil
}

func (g gooseSessions) Close() error { return g.close() }

type gooseTables struct {
	db    *sql.DB
	close func() error
	ttl   time.Duration
}

func openGooseTable(ctx context.Context, address string, o options) (locker, error) {
	db, closeAll, err := openGoose(ctx, address, o.Conns)
	if err != nil {
		return nil, err
	}
	g := gooseTables{db, closeAll, o.TTL}
	// The first lock makes the table, which two cannot do at once.
	unlock, err := g.Lock(ctx, "first")
	if err != nil {
		return nil, err
	}
	return g, unlock(ctx)
}

func (g gooseTables) Lock(ctx context.Context, name string) (func(context.Context) error, error) {
	l, err := lock.NewPostgresTableLocker(lock.WithTableLockID(gooseID(name)), lock.WithTableLockTimeout(pollByHand, forever),
		lock.WithTableLeaseDuration(g.ttl), lock.WithTableHeartbeatInterval(g.ttl/3), lock.WithTableLogger(slog.New(slog.DiscardHandler)))
	if err != nil {
		return nil, err
	}
	if err := l.Lock(ctx, g.db); err != nil {
		return nil, err
	}
	return func(ctx context.Context) error { return l.Unlock(ctx, g.db) }, nil
}

func (g gooseTables) Close() error { return g.close() }
