package main

import (
	"context"
	"crypto/rand"
	"database/sql"
	"fmt"
	"time"
)

const (
	mysqlGet   = "by hand: GET_LOCK"
	mysqlLease = "by hand: lease by upsert, MariaDB"
)

// mysqlByHand is what people write: a connection of the pool for each lock, and for each who waits; or a row that expires.
var mysqlByHand = []contestant{
	{name: mysqlGet, camp: byHand, on: onMySQL, gives: gives{ends: withConnection}, floor: mysqlTrips, open: func(_ context.Context, address string, o options) (locker, error) {
		db, err := openMySQL(address, o.Conns)
		return userLocks{db}, err
	}},
	{name: mysqlLease, camp: byHand, on: onMySQL, gives: gives{ends: withTime, byUser: true}, floor: mysqlCommits, poll: pollByHand, open: func(_ context.Context, address string, o options) (locker, error) {
		db, err := openMySQL(address, o.Conns)
		return &mysqlLeases{db: db, ttl: o.TTL}, err
	}},
}

type userLocks struct{ db *sql.DB }

func (u userLocks) Lock(ctx context.Context, name string) (func(context.Context) error, error) {
	conn, err := u.db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	if err := userLock(ctx, conn, "SELECT GET_LOCK(?, 3600)", name); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return func(ctx context.Context) error {
		defer conn.Close()
		return userLock(ctx, conn, "SELECT RELEASE_LOCK(?)", name)
	}, nil
}

func userLock(ctx context.Context, conn *sql.Conn, query, name string) error {
	var done sql.NullInt64
	if err := conn.QueryRowContext(ctx, query, name).Scan(&done); err != nil {
		return err
	}
	if done.Int64 != 1 {
		return fmt.Errorf("%s of %s has answered %v", query, name, done)
	}
	return nil
}

func (u userLocks) Close() error { return u.db.Close() }

type mysqlLeases struct {
	db  *sql.DB
	ttl time.Duration
}

var (
	mysqlTake    = text("mysql_lease_take")
	mysqlRenew   = text("mysql_lease_renew")
	mysqlRelease = text("mysql_lease_release")
)

func (l *mysqlLeases) Lock(ctx context.Context, name string) (func(context.Context) error, error) {
	owner := rand.Text()
	if err := await(ctx, pollByHand, func() (bool, error) {
		n, err := l.changed(ctx, mysqlTake, name, owner, l.ttl.Microseconds())
		return n > 0, err
	}); err != nil {
		return nil, err
	}
	alive := renew(l.ttl, func(ctx context.Context) error {
		n, err := l.changed(ctx, mysqlRenew, l.ttl.Microseconds(), name, owner)
		return one(n, err, name)
	})
	return func(ctx context.Context) error {
		if err := alive.end(); err != nil {
			return err
		}
		n, err := l.changed(ctx, mysqlRelease, name, owner)
		return one(n, err, name)
	}, nil
}

func (l *mysqlLeases) changed(ctx context.Context, query string, args ...any) (int64, error) {
	result, err := l.db.ExecContext(ctx, query, args...)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

func (l *mysqlLeases) Close() error { return l.db.Close() }
