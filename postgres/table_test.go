package postgres_test

import (
	"context"
	"database/sql"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	_ "github.com/jackc/pgx/v5/stdlib" // database/sql as applications use it
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sqllock/toolkit/internal/testdb"
	migrations "github.com/sqllock/toolkit/migrations/postgres"
	"github.com/sqllock/toolkit/postgres"
	"github.com/sqllock/toolkit/sqllock"
	"github.com/sqllock/toolkit/sqllock/locktest"
)

func TestMain(m *testing.M) { testdb.Main(m) }

// TestTable has waiters poll so rarely that a wake-up that is lost fails the claim.
func TestTable(t *testing.T) {
	locktest.Run(t, table(pgx.QueryExecModeCacheStatement, postgres.Poll(time.Minute)))
}

// TestTableWithoutSessionState does without everything that a pooler in transaction mode takes away.
func TestTableWithoutSessionState(t *testing.T) {
	locktest.Run(t, table(pgx.QueryExecModeExec, postgres.NoListen(), postgres.Namespace("a 'namespace'")))
}

// table is postgres.Table as the conformance suite sees it.
func table(mode pgx.QueryExecMode, opts ...postgres.Option) locktest.Subject {
	s := subject(mode, func(pool *pgxpool.Pool) backend { return postgres.Table(pool, opts...) })
	s.CountChanges = countChanges
	s.Purge = func(ctx context.Context, b sqllock.Backend) error {
		_, err := b.(*postgres.TableBackend).Purge(ctx, 0)
		return err
	}
	return s
}

// backend is what Table and Advisory have in common.
type backend interface {
	sqllock.Backend
	Close(ctx context.Context) error
	GuardSQL(ctx context.Context, tx *sql.Tx, lock *sqllock.Lock) error
	LockSQLTx(ctx context.Context, tx *sql.Tx, name string) error
	TryLockSQLTx(ctx context.Context, tx *sql.Tx, name string) error
	WithTxOptions(ctx context.Context, name string, opts pgx.TxOptions, fn func(tx pgx.Tx) error) error
}

func subject(mode pgx.QueryExecMode, open func(*pgxpool.Pool) backend) locktest.Subject {
	return locktest.Subject{
		Fresh: func(tb testing.TB) string {
			dsn := testdb.Postgres(tb)
			migrate(tb, dsn)
			return dsn
		},
		Backend: func(dsn string) (sqllock.Backend, func(), error) {
			cfg, err := pgxpool.ParseConfig(dsn)
			if err != nil {
				return nil, nil, err
			}
			cfg.ConnConfig.DefaultQueryExecMode = mode
			pool, err := pgxpool.NewWithConfig(context.Background(), cfg)
			if err != nil {
				return nil, nil, err
			}
			b := open(pool)
			return b, func() {
				_ = b.Close(context.Background())
				pool.Close()
			}, nil
		},
		DB:          func(dsn string) (*sql.DB, error) { return sql.Open("pgx", dsn) },
		Unreachable: "postgres://nobody@127.0.0.1:1/nothing",
		Hang: func(tb testing.TB) (string, func(), func()) {
			server := testdb.StartPostgres(tb)
			migrate(tb, server.DSN())
			return server.DSN(), server.Pause, server.Resume
		},
		Sever: sever,
		Guard: func(ctx context.Context, b sqllock.Backend, tx *sql.Tx, lock *sqllock.Lock) error {
			return b.(backend).GuardSQL(ctx, tx, lock)
		},
		LockTx: func(ctx context.Context, b sqllock.Backend, tx *sql.Tx, name string) error {
			return b.(backend).LockSQLTx(ctx, tx, name)
		},
		TryLockTx: func(ctx context.Context, b sqllock.Backend, tx *sql.Tx, name string) error {
			return b.(backend).TryLockSQLTx(ctx, tx, name)
		},
		WithTx: func(ctx context.Context, b sqllock.Backend, name string, level sql.IsolationLevel, fn func(locktest.Tx) error) error {
			opts := pgx.TxOptions{IsoLevel: isolation[level]}
			return b.(backend).WithTxOptions(ctx, name, opts, func(tx pgx.Tx) error { return fn(pgxTx{tx}) })
		},
		WithTxLevels: []sql.IsolationLevel{sql.LevelDefault, sql.LevelReadCommitted, sql.LevelRepeatableRead, sql.LevelSerializable},
	}
}

var isolation = map[sql.IsolationLevel]pgx.TxIsoLevel{
	sql.LevelReadCommitted:  pgx.ReadCommitted,
	sql.LevelRepeatableRead: pgx.RepeatableRead,
	sql.LevelSerializable:   pgx.Serializable,
}

type pgxTx struct{ tx pgx.Tx }

func (t pgxTx) Exec(ctx context.Context, query string) error {
	_, err := t.tx.Exec(ctx, query)
	return err
}

func (t pgxTx) Int(ctx context.Context, query string) (n int64, err error) {
	err = t.tx.QueryRow(ctx, query).Scan(&n)
	return n, err
}

func connect(tb testing.TB, dsn string) *sql.DB {
	tb.Helper()
	db, err := sql.Open("pgx", dsn)
	require.NoError(tb, err)
	tb.Cleanup(func() { _ = db.Close() })
	return db
}

func migrate(tb testing.TB, dsn string) {
	tb.Helper()
	db := connect(tb, dsn)
	require.NoError(tb, migrations.Up(tb.Context(), db))
	require.NoError(tb, db.Close())
}

func sever(tb testing.TB, dsn string) {
	tb.Helper()
	_, err := connect(tb, dsn).ExecContext(tb.Context(), `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
		WHERE datname = current_database() AND pid <> pg_backend_pid()`)
	require.NoError(tb, err)
}

// TestForcedReleaseIsPushed takes a lock away before its holder has got round to LISTEN. It must not learn of that by its next renewal only.
func TestForcedReleaseIsPushed(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	dsn := testdb.Postgres(t)
	migrate(t, dsn)
	cfg, err := pgxpool.ParseConfig(dsn)
	require.NoError(t, err)
	var connections atomic.Int32
	forced := make(chan struct{})
	cfg.BeforeConnect = func(ctx context.Context, _ *pgx.ConnConfig) error {
		if connections.Add(1) > 1 { // all but the one that acquires
			select {
			case <-forced:
			case <-ctx.Done():
			}
		}
		return ctx.Err()
	}
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	otherPool, err := pgxpool.New(ctx, dsn)
	require.NoError(t, err)
	t.Cleanup(otherPool.Close)
	holder, other := sqllock.New(postgres.Table(pool), sqllock.TTL(time.Hour)), sqllock.New(postgres.Table(otherPool))
	t.Cleanup(func() { assert.NoError(t, errors.Join(holder.Close(ctx), other.Close(ctx))) })

	l, err := holder.Acquire(ctx, "n")
	require.NoError(t, err)
	require.NoError(t, other.ForceRelease(ctx, "n"))
	close(forced)
	select {
	case <-l.Done():
		assert.ErrorIs(t, l.Err(), sqllock.ErrForced)
	case <-time.After(10 * time.Second):
		t.Error("the holder is not told")
	}
}

// TestGuardedReleaseHoldsUpNobody releases while a guarded transaction is open. The release is repeated until that has ended, and meanwhile the
// process takes other locks: a release that waited in the server would let it do nothing for five seconds.
func TestGuardedReleaseHoldsUpNobody(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	dsn := testdb.Postgres(t)
	migrate(t, dsn)
	pool, err := pgxpool.New(ctx, dsn)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	backend := postgres.Table(pool)
	locks := sqllock.New(backend)
	t.Cleanup(func() { assert.NoError(t, locks.Close(ctx)) })
	l, err := locks.Acquire(ctx, "guarded", sqllock.Shared()) // whose guard locks the holder
	require.NoError(t, err)
	tx, err := pool.Begin(ctx)
	require.NoError(t, err)
	t.Cleanup(func() { _ = tx.Rollback(ctx) }) // else the pool would not close
	require.NoError(t, backend.Guard(ctx, tx, l))

	released := make(chan error, 1)
	go func() { released <- l.Release(ctx) }()
	for range 50 { // some of them after the release has been sent
		other, err := locks.Acquire(ctx, "other", sqllock.Wait(4*time.Second))
		require.NoError(t, err)
		require.NoError(t, other.Release(ctx))
	}
	select {
	case err := <-released:
		require.FailNow(t, "released while the transaction is open", err)
	default:
	}
	require.NoError(t, tx.Commit(ctx))
	require.NoError(t, <-released)
}

// countChanges writes down every row that changes. Counting in one row instead would have transactions wait for each other.
func countChanges(tb testing.TB, dsn string) func() map[string]int {
	tb.Helper()
	db := connect(tb, dsn)
	_, err := db.ExecContext(tb.Context(), `
		CREATE TABLE changes (of text NOT NULL);
		CREATE FUNCTION count_change() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN
			INSERT INTO public.changes VALUES (TG_TABLE_NAME);
			RETURN NULL;
		END $$;
		DO $$
		DECLARE t text;
		BEGIN
			FOR t IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename LIKE 'sqllock%' LOOP
				EXECUTE format('CREATE TRIGGER count_change AFTER INSERT OR UPDATE OR DELETE ON %I FOR EACH ROW EXECUTE FUNCTION count_change()', t);
			END LOOP;
		END $$`)
	require.NoError(tb, err)
	return func() map[string]int {
		rows, err := db.QueryContext(tb.Context(), "SELECT of, count(*) FROM changes GROUP BY of")
		require.NoError(tb, err)
		defer rows.Close()
		counts := make(map[string]int)
		for rows.Next() {
			var of string
			var n int
			require.NoError(tb, rows.Scan(&of, &n))
			counts[of] = n
		}
		require.NoError(tb, rows.Err())
		return counts
	}
}
