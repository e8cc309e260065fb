package main

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"time"

	driver "github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/sqllock/toolkit/leaderelect"
	"github.com/sqllock/toolkit/mysql"
	"github.com/sqllock/toolkit/postgres"
	"github.com/sqllock/toolkit/sqlite"
	"github.com/sqllock/toolkit/sqllock"
)

var (
	session = gives{ends: withConnection}
	fenced  = gives{ends: withConnection, token: true, guard: true}
	leases  = gives{ends: withTime, token: true, guard: true}
)

// aside are the measures of what is only worth a row of its own where it makes a difference.
var (
	ofWaiting = []string{"hand-over", "take-over", "waiting", "election"}
	ofGrants  = []string{"latency", "throughput", "hand-over", "guard"}
)

var postgresOurs = []contestant{
	ours(contestant{name: "postgres.Advisory", on: onPostgres, gives: fenced, floor: postgresTrips, hand: postgresBlock}, openAdvisory()),
	ours(contestant{name: "postgres.Advisory, Sentinel", on: onPostgres, gives: fenced, hand: postgresBlock, only: ofWaiting}, openAdvisory(postgres.Sentinel())),
	ours(contestant{name: "postgres.Table", on: onPostgres, gives: leases, floor: postgresCommits, hand: postgresLease}, openPostgresTable),
}

var mysqlOurs = []contestant{
	ours(contestant{name: "mysql.Named", on: onMySQL, gives: session, floor: mysqlTrips, hand: mysqlGet}, openNamed()),
	ours(contestant{name: "mysql.Named, tokens", on: onMySQL, gives: fenced, floor: mysqlCommits, hand: mysqlGet, only: ofGrants}, openNamed(mysql.WithTokens())),
	ours(contestant{name: "mysql.Table", on: onMySQL, gives: leases, floor: mysqlCommits, hand: mysqlLease}, openMySQLTable),
}

var sqliteOurs = []contestant{
	ours(contestant{name: "sqlite.Table", on: onSQLite, gives: leases, floor: sqliteCommit, poll: 10 * time.Millisecond}, openSQLiteTable),
}

// A toolkit is a backend that was opened: its Client, and what the application has beside it.
type toolkit struct {
	*sqllock.Client
	transact func(ctx context.Context, guard *sqllock.Lock) error // guard may be nil
	close    func() error
}

// ours makes the same contestant of each backend.
func ours(c contestant, open func(ctx context.Context, address string, o options) (toolkit, error)) contestant {
	c.camp = us
	c.open = func(ctx context.Context, address string, o options) (locker, error) { return open(ctx, address, o) }
	c.stand = func(ctx context.Context, address string, o options) (candidate, error) {
		t, err := open(ctx, address, o)
		if err != nil {
			return nil, err
		}
		return newElector(t.Client)
	}
	if c.gives.guard {
		c.guard = func(ctx context.Context, address string) (transactor, error) {
			t, err := open(ctx, address, options{TTL: defaultTTL, Conns: 2})
			if err != nil {
				return nil, err
			}
			lock, err := t.Acquire(ctx, "bench-guard")
			return guarded{t, lock}, err
		}
	}
	return c
}

func (t toolkit) Lock(ctx context.Context, name string) (func(context.Context) error, error) {
	lock, err := t.Acquire(ctx, name)
	if err != nil {
		return nil, err
	}
	return lock.Release, nil
}

func (t toolkit) Close() error {
	return errors.Join(t.Client.Close(context.Background()), t.close())
}

// A client of a lease has its TTL, which session locks have not.
func client(b sqllock.Backend, o options) *sqllock.Client {
	if !b.Capabilities().Leases {
		return sqllock.New(b)
	}
	return sqllock.New(b, sqllock.TTL(o.TTL))
}

func openAdvisory(opts ...postgres.Option) func(context.Context, string, options) (toolkit, error) {
	return func(ctx context.Context, address string, o options) (toolkit, error) {
		pool, err := openPostgres(ctx, address, 2)
		if err != nil {
			return toolkit{}, err
		}
		// Not append: the slice is shared by all who open this contestant.
		opts := slices.Concat(opts, []postgres.Option{postgres.WithTokens(), postgres.MaxLocks(max(5000, 2*o.Locks))})
		return onPgx(pool, postgres.Advisory(pool, opts...), o), nil
	}
}

func openPostgresTable(ctx context.Context, address string, o options) (toolkit, error) {
	pool, err := openPostgres(ctx, address, 2)
	if err != nil {
		return toolkit{}, err
	}
	return onPgx(pool, postgres.Table(pool), o), nil
}

// pgxBackend is what those on PostgreSQL have in common.
type pgxBackend interface {
	sqllock.Backend
	Guard(ctx context.Context, tx pgx.Tx, lock *sqllock.Lock) error
}

func onPgx(pool *pgxpool.Pool, backend pgxBackend, o options) toolkit {
	return toolkit{
		Client: client(backend, o),
		transact: func(ctx context.Context, lock *sqllock.Lock) error {
			return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
				if lock != nil {
					if err := backend.Guard(ctx, tx, lock); err != nil {
						return err
					}
				}
				_, err := tx.Exec(ctx, "UPDATE commits SET n = n + 1 WHERE id = 0")
				return err
			})
		},
		close: func() error { pool.Close(); return nil },
	}
}

func openNamed(opts ...mysql.Option) func(context.Context, string, options) (toolkit, error) {
	return func(ctx context.Context, address string, o options) (toolkit, error) {
		cfg, err := driver.ParseDSN(address)
		if err != nil {
			return toolkit{}, err
		}
		return onDatabaseSQL(openMySQL, address, mysql.Named(cfg, opts...), o)
	}
}

func openMySQLTable(ctx context.Context, address string, o options) (toolkit, error) {
	cfg, err := driver.ParseDSN(address)
	if err != nil {
		return toolkit{}, err
	}
	return onDatabaseSQL(openMySQL, address, mysql.Table(cfg), o)
}

func openSQLiteTable(_ context.Context, address string, o options) (toolkit, error) {
	open := func(file string, _ int) (*sql.DB, error) { return openSQLite(file) }
	return onDatabaseSQL(open, address, sqlite.Table(address), o)
}

// sqlBackend is what those on database/sql have in common.
type sqlBackend interface {
	sqllock.Backend
	Guard(ctx context.Context, tx *sql.Tx, lock *sqllock.Lock) error
	Close(ctx context.Context) error
}

func onDatabaseSQL(open func(string, int) (*sql.DB, error), address string, backend sqlBackend, o options) (toolkit, error) {
	db, err := open(address, 2)
	if err != nil {
		return toolkit{}, err
	}
	return toolkit{
		Client: client(backend, o),
		transact: func(ctx context.Context, lock *sqllock.Lock) error {
			tx, err := db.BeginTx(ctx, nil)
			if err != nil {
				return err
			}
			defer tx.Rollback()
			if lock != nil {
				if err := backend.Guard(ctx, tx, lock); err != nil {
					return err
				}
			}
			if _, err := tx.ExecContext(ctx, "UPDATE commits SET n = n + 1 WHERE id = 0"); err != nil {
				return err
			}
			return tx.Commit()
		},
		close: func() error { return errors.Join(backend.Close(context.Background()), db.Close()) },
	}, nil
}

// guarded has a lock under which it does transactions.
type guarded struct {
	toolkit
	lock *sqllock.Lock
}

func (g guarded) Transact(ctx context.Context, guard bool) error {
	if guard {
		return g.transact(ctx, g.lock)
	}
	return g.transact(ctx, nil)
}

// elector is a candidate of package leaderelect.
type elector struct {
	*leaderelect.Elector
	elected func()
}

func newElector(locks *sqllock.Client) (candidate, error) {
	e := &elector{}
	var err error
	e.Elector, err = leaderelect.New(locks, "bench-election", leaderelect.Config{
		StandBack: standBack,
		OnElected: func(ctx context.Context, _ leaderelect.Term) error {
			e.elected()
			<-ctx.Done()
			return nil
		},
	})
	return e, err
}

func (e *elector) Campaign(ctx context.Context, elected func()) error {
	e.elected = elected
	return e.Run(ctx)
}
