package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// pollByHand is the pause that people choose.
const pollByHand = 100 * time.Millisecond

const (
	postgresTry   = "by hand: pg_try_advisory_lock"
	postgresBlock = "by hand: pg_advisory_lock"
	postgresLease = "by hand: lease by upsert, PostgreSQL"
)

// postgresByHand is what people write: a connection of the pool for each lock, with or without waiting in the server, or a row that expires.
var postgresByHand = []contestant{
	{name: postgresTry, camp: byHand, on: onPostgres, gives: gives{ends: withConnection}, floor: postgresTrips, poll: pollByHand, open: openHand(tryAdvisory)},
	{name: postgresBlock, camp: byHand, on: onPostgres, gives: gives{ends: withConnection}, floor: postgresTrips, open: openHand(blockAdvisory)},
	{name: postgresLease, camp: byHand, on: onPostgres, gives: gives{ends: withTime, byUser: true}, floor: postgresCommits, poll: pollByHand, open: openPostgresLease},
}

func openPostgres(ctx context.Context, dsn string, conns int) (*pgxpool.Pool, error) {
	cfg, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		return nil, err
	}
	cfg.MaxConns = int32(max(conns, 2))
	return pgxpool.NewWithConfig(ctx, cfg)
}

// advisory is a connection for each lock.
type advisory struct {
	pool *pgxpool.Pool
	take func(ctx context.Context, conn *pgxpool.Conn, name string) (bool, error)
}

func openHand(take func(context.Context, *pgxpool.Conn, string) (bool, error)) func(context.Context, string, options) (locker, error) {
	return func(ctx context.Context, address string, o options) (locker, error) {
		pool, err := openPostgres(ctx, address, o.Conns)
		if err != nil {
			return nil, err
		}
		return &advisory{pool: pool, take: take}, nil
	}
}

func tryAdvisory(ctx context.Context, conn *pgxpool.Conn, name string) (ok bool, err error) {
	return ok, conn.QueryRow(ctx, "SELECT pg_try_advisory_lock(hashtextextended($1, 0))", name).Scan(&ok)
}

func blockAdvisory(ctx context.Context, conn *pgxpool.Conn, name string) (bool, error) {
	_, err := conn.Exec(ctx, "SELECT pg_advisory_lock(hashtextextended($1, 0))", name)
	return err == nil, err
}

func (a *advisory) Lock(ctx context.Context, name string) (func(context.Context) error, error) {
	var held *pgxpool.Conn
	err := await(ctx, pollByHand, func() (bool, error) {
		conn, err := a.pool.Acquire(ctx)
		if err != nil {
			return false, err
		}
		ok, err := a.take(ctx, conn, name)
		if !ok {
			conn.Release()
			return false, err
		}
		held = conn
		return true, nil
	})
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) error {
		defer held.Release()
		var ok bool
		if err := held.QueryRow(ctx, "SELECT pg_advisory_unlock(hashtextextended($1, 0))", name).Scan(&ok); err != nil {
			return err
		}
		if !ok {
			return fmt.Errorf("%s was not locked", name)
		}
		return nil
	}, nil
}

func (a *advisory) Close() error {
	a.pool.Close()
	return nil
}

// postgresLeases are rows that expire, one for each lock, each with renewals of its own.
type postgresLeases struct {
	pool *pgxpool.Pool
	ttl  time.Duration
}

func openPostgresLease(ctx context.Context, address string, o options) (locker, error) {
	pool, err := openPostgres(ctx, address, o.Conns)
	if err != nil {
		return nil, err
	}
	return &postgresLeases{pool: pool, ttl: o.TTL}, nil
}

var (
	postgresTake    = text("postgres_lease_take")
	postgresRenew   = text("postgres_lease_renew")
	postgresRelease = text("postgres_lease_release")
)

func (l *postgresLeases) Lock(ctx context.Context, name string) (func(context.Context) error, error) {
	owner := rand.Text()
	if err := await(ctx, pollByHand, func() (bool, error) {
		tag, err := l.pool.Exec(ctx, postgresTake, name, owner, l.ttl.Milliseconds())
		return tag.RowsAffected() == 1, err
	}); err != nil {
		return nil, err
	}
	alive := renew(l.ttl, func(ctx context.Context) error {
		tag, err := l.pool.Exec(ctx, postgresRenew, name, owner, l.ttl.Milliseconds())
		return one(tag.RowsAffected(), err, name)
	})
	return func(ctx context.Context) error {
		if err := alive.end(); err != nil {
			return err
		}
		tag, err := l.pool.Exec(ctx, postgresRelease, name, owner)
		return one(tag.RowsAffected(), err, name)
	}, nil
}

// one says that a lease is lost where its row was not found.
func one(rows int64, err error, name string) error {
	if err == nil && rows != 1 {
		return fmt.Errorf("the lease of %s was lost", name)
	}
	return err
}

func (l *postgresLeases) Close() error {
	l.pool.Close()
	return nil
}
