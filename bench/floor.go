package main

import (
	"context"
	"database/sql"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgxpool"
)

// The names of the floors, with which others are compared.
const (
	postgresTrips   = "PostgreSQL: two round trips"
	postgresCommits = "PostgreSQL: two commits"
	mysqlTrips      = "MariaDB: two round trips"
	mysqlCommits    = "MariaDB: two commits"
	sqliteCommit    = "SQLite: two commits"
	redisSets       = "Redis: two SETs"
	etcdPuts        = "etcd: two PUTs"
	zookeeperSets   = "ZooKeeper: two setData"
)

// A floor does once what a lock does to be taken, and once again what it does to be released. It locks nothing.
type floor struct {
	do    func(ctx context.Context, name string) error
	close func() error
}

func (f floor) Lock(ctx context.Context, name string) (func(context.Context) error, error) {
	return func(ctx context.Context) error { return f.do(ctx, name) }, f.do(ctx, name)
}

func (f floor) Close() error { return f.close() }

// row is that of the table commits which is changed in place of a lock.
func row(name string) int {
	n, err := strconv.Atoi(name[strings.LastIndexByte(name, '-')+1:])
	if err != nil {
		return 0
	}
	return n % 1024
}

var postgresFloors = []contestant{
	{name: postgresTrips, on: onPostgres, camp: floors, open: postgresFloor(func(ctx context.Context, pool *pgxpool.Pool, _ string) error {
		var one int
		return pool.QueryRow(ctx, "SELECT 1").Scan(&one)
	})},
	{name: postgresCommits, on: onPostgres, camp: floors, open: postgresFloor(func(ctx context.Context, pool *pgxpool.Pool, name string) error {
		_, err := pool.Exec(ctx, "UPDATE commits SET n = n + 1 WHERE id = $1", row(name))
		return err
	})},
}

func postgresFloor(do func(context.Context, *pgxpool.Pool, string) error) func(context.Context, string, options) (locker, error) {
	return func(ctx context.Context, address string, o options) (locker, error) {
		pool, err := openPostgres(ctx, address, o.Conns)
		if err != nil {
			return nil, err
		}
		return floor{
			do:    func(ctx context.Context, name string) error { return do(ctx, pool, name) },
			close: func() error { pool.Close(); return nil },
		}, nil
	}
}

var mysqlFloors = []contestant{
	{name: mysqlTrips, on: onMySQL, camp: floors, open: sqlFloor(openMySQL, func(ctx context.Context, db *sql.DB, _ string) error {
		var one int
		return db.QueryRowContext(ctx, "SELECT 1").Scan(&one)
	})},
	{name: mysqlCommits, on: onMySQL, camp: floors, open: sqlFloor(openMySQL, commit)},
}

var sqliteFloors = []contestant{
	{name: sqliteCommit, on: onSQLite, camp: floors, open: sqlFloor(func(file string, _ int) (*sql.DB, error) {
		db, err := openSQLite(file)
		if err == nil {
			db.SetMaxOpenConns(1) // one can write: more would sleep and try again
		}
		return db, err
	}, commit)},
}

func commit(ctx context.Context, db *sql.DB, name string) error {
	_, err := db.ExecContext(ctx, "UPDATE commits SET n = n + 1 WHERE id = ?", row(name))
	return err
}

func sqlFloor(open func(string, int) (*sql.DB, error), do func(context.Context, *sql.DB, string) error) func(context.Context, string, options) (locker, error) {
	return func(_ context.Context, address string, o options) (locker, error) {
		db, err := open(address, o.Conns)
		if err != nil {
			return nil, err
		}
		return floor{do: func(ctx context.Context, name string) error { return do(ctx, db, name) }, close: db.Close}, nil
	}
}
