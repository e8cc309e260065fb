package migrations_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/golang-migrate/migrate/v4"
	"github.com/golang-migrate/migrate/v4/database"
	migratesqlite "github.com/golang-migrate/migrate/v4/database/sqlite"
	"github.com/golang-migrate/migrate/v4/source/iofs"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	sqlitedriver "modernc.org/sqlite"

	"github.com/sqllock/toolkit/internal/testdb"
	"github.com/sqllock/toolkit/sqlite"
	"github.com/sqllock/toolkit/sqllock"
)

func TestMain(m *testing.M) {
	sqlitedriver.MustRegisterScalarFunction("happen", 1, func(_ *sqlitedriver.FunctionContext, args []driver.Value) (driver.Value, error) {
		event, ok := events.Load(args[0])
		if !ok {
			return nil, errors.New("nothing of this name happens")
		}
		event.(func())()
		return nil, nil
	})
	testdb.Main(m)
}

const (
	// patience is what a test waits for something that has to happen.
	patience = 30 * time.Second
	// poll is how often it looks.
	poll = 5 * time.Millisecond
)

// name is the lock of the tests' migrations.
const name = "migrations"

// events is what migrations can make happen in their middle, by name.
var events sync.Map

// scene is an application's database, and a file of locks.
type scene struct {
	*testing.T
	dir   string
	files fstest.MapFS
	db    *sql.DB // to look
	locks *sqllock.Client
}

// newScene is a scene with one migration for each of these statements.
func newScene(t *testing.T, migrations ...string) *scene {
	t.Helper()
	s := &scene{T: t, dir: t.TempDir(), files: fstest.MapFS{}}
	for i, statements := range migrations {
		s.files[fmt.Sprintf("%04d_title.up.sql", i+1)] = &fstest.MapFile{Data: []byte(statements)}
	}
	db, err := sql.Open("sqlite", s.path())
	require.NoError(t, err)
	t.Cleanup(func() { _ = db.Close() })
	s.db = db
	s.locks = s.client()
	return s
}

func (s *scene) path() string { return filepath.Join(s.dir, "app.db") + "?_pragma=busy_timeout(30000)" }

// client is what another process would have.
func (s *scene) client(opts ...sqlite.Option) *sqllock.Client {
	s.Helper()
	c := sqllock.New(sqlite.Table(filepath.Join(s.dir, "locks.db"), opts...))
	s.Cleanup(func() { assert.NoError(s, c.Close(context.Background())) })
	return c
}

// happens makes f what happen(the returned name) does in a migration.
func (s *scene) happens(f func()) (event string) {
	event = s.Name()
	events.Store(event, f)
	s.Cleanup(func() { events.Delete(event) })
	return event
}

// takeAway ends the lock of whoever holds it.
func (s *scene) takeAway() {
	s.Helper()
	require.NoError(s, s.locks.ForceRelease(s.Context(), name))
}

func (s *scene) driver() (database.Driver, error) {
	return new(migratesqlite.Sqlite).Open("sqlite://" + s.path())
}

func (s *scene) open(context.Context) (*migrate.Migrate, error) {
	driver, err := s.driver()
	if err != nil {
		return nil, err
	}
	return s.with(driver)
}

// with is a Migrate of the scene's files.
func (s *scene) with(driver database.Driver) (*migrate.Migrate, error) {
	source, err := iofs.New(s.files, ".")
	if err != nil {
		return nil, err
	}
	return migrate.NewWithInstance("iofs", source, "sqlite", driver)
}

// version is what golang-migrate's table says.
func (s *scene) version() (version int, dirty bool) {
	s.Helper()
	err := s.db.QueryRowContext(s.Context(), "SELECT version, dirty FROM schema_migrations").Scan(&version, &dirty)
	require.NoError(s, err)
	return version, dirty
}

func (s *scene) clean(version int) {
	s.Helper()
	got, dirty := s.version()
	assert.Equal(s, version, got)
	assert.False(s, dirty)
}

func (s *scene) dirty(version int) {
	s.Helper()
	got, dirty := s.version()
	assert.Equal(s, version, got)
	assert.True(s, dirty)
}

// markDirty is what a process leaves behind that has died in the migration to version.
func (s *scene) markDirty(version int) {
	s.Helper()
	driver, err := s.driver()
	require.NoError(s, err)
	require.NoError(s, driver.SetVersion(version, true))
	require.NoError(s, driver.Close())
}

// count is how many rows a table has.
func (s *scene) count(table string) (n int) {
	s.Helper()
	require.NoError(s, s.db.QueryRowContext(s.Context(), "SELECT count(*) FROM "+table).Scan(&n))
	return n
}

// free fails the test unless the lock can be had.
func (s *scene) free() {
	s.Helper()
	// Not a single attempt, which is refused until one who gave up waiting has left the line.
	lock, err := s.client().Acquire(s.Context(), name, sqllock.Wait(patience))
	require.NoError(s, err)
	require.NoError(s, lock.Release(s.Context()))
}

func (s *scene) taken() {
	s.Helper()
	_, err := s.client().TryAcquire(s.Context(), name)
	require.ErrorIs(s, err, sqllock.ErrNotAcquired)
}
