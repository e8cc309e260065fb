package goosetest

import (
	"context"
	"database/sql"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	_ "modernc.org/sqlite"

	"github.com/sqllock/toolkit/internal/testdb"
	"github.com/sqllock/toolkit/migrations"
	"github.com/sqllock/toolkit/postgres"
	"github.com/sqllock/toolkit/sqlite"
	"github.com/sqllock/toolkit/sqllock"
)

func TestMain(m *testing.M) { testdb.Main(m) }

var _ lock.SessionLocker = (*migrations.GooseLocker)(nil)

const (
	// patience is what a test waits for something that has to happen.
	patience = 30 * time.Second
	// poll is how often it looks.
	poll = 5 * time.Millisecond
)

// name is the lock of the migrations.
const name = "migrations"

var files = fstest.MapFS{
	"00001_accounts.sql": {Data: []byte("-- +goose Up\nCREATE TABLE accounts (balance bigint);\nINSERT INTO accounts VALUES (100);\n")},
	"00002_interest.sql": {Data: []byte("-- +goose Up\nUPDATE accounts SET balance = 2 * balance + 1;\n")}, // twice would be too much
	"00003_index.sql":    {Data: []byte("-- +goose NO TRANSACTION\n-- +goose Up\nCREATE INDEX accounts_balance ON accounts (balance);\n")},
}

// provider is what another process would have.
func provider(t *testing.T, dialect goose.Dialect, driver, dsn string, files fstest.MapFS, locks *sqllock.Client) *goose.Provider {
	t.Helper()
	p, err := goose.NewProvider(dialect, open(t, driver, dsn), files, goose.WithSessionLocker(migrations.SessionLocker(locks, name)))
	require.NoError(t, err)
	return p
}

func open(t *testing.T, driver, dsn string) *sql.DB {
	t.Helper()
	db, err := sql.Open(driver, dsn)
	require.NoError(t, err)
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func client(t *testing.T, backend sqllock.Backend, opts ...sqllock.ClientOption) *sqllock.Client {
	t.Helper()
	locks := sqllock.New(backend, opts...)
	t.Cleanup(func() { assert.NoError(t, locks.Close(context.Background())) })
	return locks
}

func advisory(t *testing.T, dsn string) *postgres.AdvisoryBackend {
	t.Helper()
	pool, err := pgxpool.New(t.Context(), dsn)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	return postgres.Advisory(pool)
}

func number(t *testing.T, db *sql.DB, query string) (n int) {
	t.Helper()
	require.NoError(t, db.QueryRowContext(t.Context(), query).Scan(&n), query)
	return n
}

func TestProvidersThatStartTogetherMigrateOnce(t *testing.T) {
	t.Parallel()
	index := fstest.MapFS{"00003_index.sql": {Data: []byte(
		"-- +goose NO TRANSACTION\n-- +goose Up\nCREATE INDEX CONCURRENTLY accounts_balance ON accounts (balance);\n")}}
	for what, start := range map[string]func(t *testing.T) (next func() *goose.Provider, db *sql.DB){
		"on PostgreSQL": func(t *testing.T) (func() *goose.Provider, *sql.DB) {
			dsn := testdb.Postgres(t)
			concurrently := fstest.MapFS{}
			for _, all := range []fstest.MapFS{files, index} {
				for name, file := range all {
					concurrently[name] = file
				}
			}
			return func() *goose.Provider {
				return provider(t, goose.DialectPostgres, "pgx", dsn, concurrently, client(t, advisory(t, dsn)))
			}, open(t, "pgx", dsn)
		},
		"on SQLite": func(t *testing.T) (func() *goose.Provider, *sql.DB) {
			path := filepath.Join(t.TempDir(), "app.db")
			dsn := path + "?_pragma=busy_timeout(30000)"
			return func() *goose.Provider {
				return provider(t, goose.DialectSQLite3, "sqlite", dsn, files, client(t, sqlite.Table(path)))
			}, open(t, "sqlite", dsn)
		},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			next, db := start(t)
			var all sync.WaitGroup
			for range 10 {
				p := next()
				all.Go(func() {
					_, err := p.Up(t.Context())
					assert.NoError(t, err)
				})
			}
			all.Wait()
			assert.Equal(t, 201, number(t, db, "SELECT sum(balance) FROM accounts"))
			assert.Equal(t, 4, number(t, db, "SELECT count(*) FROM goose_db_version"), "the first is of goose itself")
		})
	}
}

// gated are migrations of which the second waits at a gate that is locked, and then at another.
var gated = fstest.MapFS{
	"00001_steps.sql": {Data: []byte("-- +goose Up\nCREATE TABLE steps (n bigint);\n")},
	"00002_slow.sql":  {Data: []byte("-- +goose Up\nINSERT INTO steps VALUES (2);\nINSERT INTO steps SELECT n FROM gate;\nINSERT INTO steps SELECT n FROM next_gate;\nINSERT INTO steps VALUES (2);\n")},
	"00003_last.sql":  {Data: []byte("-- +goose Up\nINSERT INTO steps VALUES (3);\n")},
}

// scene is a database in which a migration waits at a gate, and ends with up.
type scene struct {
	db   *sql.DB
	gate *sql.Conn
	up   chan error
}

func newScene(t *testing.T, dsn string, up func() error) *scene {
	t.Helper()
	s := &scene{db: open(t, "pgx", dsn), up: make(chan error, 1)}
	_, err := s.db.ExecContext(t.Context(), "CREATE TABLE gate (n bigint); CREATE TABLE next_gate (n bigint)")
	require.NoError(t, err)
	s.gate, err = s.db.Conn(t.Context())
	require.NoError(t, err)
	t.Cleanup(func() { _ = s.gate.Close() })
	_, err = s.gate.ExecContext(t.Context(), "BEGIN; LOCK TABLE next_gate IN ACCESS EXCLUSIVE MODE; SAVEPOINT before; LOCK TABLE gate IN ACCESS EXCLUSIVE MODE")
	require.NoError(t, err)
	go func() { s.up <- up() }()
	require.Eventually(t, func() bool { return s.waitsAt(t, "gate") }, patience, poll)
	return s
}

func (s *scene) waitsAt(t *testing.T, gate string) bool {
	t.Helper()
	return number(t, s.db, "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = '"+gate+"'::regclass") == 1
}

// open opens one gate after the other.
func (s *scene) open(t *testing.T, statement string) {
	t.Helper()
	_, err := s.gate.ExecContext(t.Context(), statement)
	require.NoError(t, err)
}

func TestProviderThatLosesItsLockRollsBackAndStops(t *testing.T) {
	t.Parallel()
	dsn := testdb.Postgres(t)
	backend := advisory(t, dsn)
	p := provider(t, goose.DialectPostgres, "pgx", dsn, gated, client(t, backend))
	s := newScene(t, dsn, func() error { _, err := p.Up(t.Context()); return err })

	_, err := backend.Terminate(t.Context(), name)
	require.NoError(t, err)
	s.awaitCut(t, "gate")
	s.open(t, "ROLLBACK TO before")
	s.awaitCut(t, "next_gate")
	s.open(t, "COMMIT")

	require.ErrorIs(t, <-s.up, sqllock.ErrLost)
	assert.Equal(t, 0, number(t, s.db, "SELECT count(*) FROM steps"))
	assert.Equal(t, 1, number(t, s.db, "SELECT max(version_id) FROM goose_db_version"))
}

// awaitCut returns once the locker waits for the connection, which the statement that waits at a gate has locked; or has cut it already. Whoever waits
// for a mutex a second time, as at the second gate, is the next to have it, whatever the machine is busy with.
func (s *scene) awaitCut(t *testing.T, gate string) {
	t.Helper()
	require.Eventually(t, func() bool { return len(s.up) == 1 || s.waitsAt(t, gate) && cutWaits() }, patience, poll)
}

func cutWaits() bool {
	stacks := make([]byte, 1<<20)
	for stack := range strings.SplitSeq(string(stacks[:runtime.Stack(stacks, true)]), "\n\n") {
		if header, calls, _ := strings.Cut(stack, "\n"); strings.Contains(calls, "migrations.cut(") && strings.Contains(header, "[sync.Mutex.Lock") {
			return true
		}
	}
	return false
}

func TestGuardCancelsTheMigrationUnderWay(t *testing.T) {
	t.Parallel()
	dsn := testdb.Postgres(t)
	backend := advisory(t, dsn)
	locks := client(t, backend)
	p, err := goose.NewProvider(goose.DialectPostgres, open(t, "pgx", dsn), gated)
	require.NoError(t, err)
	s := newScene(t, dsn, func() error {
		return migrations.Guard(t.Context(), locks, name, func(ctx context.Context) error {
			_, err := p.Up(ctx)
			return err
		})
	})

	_, err = backend.Terminate(t.Context(), name)
	require.NoError(t, err)

	require.ErrorIs(t, <-s.up, sqllock.ErrLost, "with the gate still locked")
	assert.Equal(t, 0, number(t, s.db, "SELECT count(*) FROM steps"))
	assert.Equal(t, 1, number(t, s.db, "SELECT max(version_id) FROM goose_db_version"))
}
