package mysql

import (
	"context"
	"database/sql"
	"errors"
	"io/fs"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sqllock/toolkit/internal/testdb"
	"github.com/sqllock/toolkit/migrations/internal/lockschema"
	"github.com/sqllock/toolkit/migrations/internal/proctest"
	"github.com/sqllock/toolkit/sqllock"
)

func TestLatestIsThatOfTheFiles(t *testing.T) {
	t.Parallel()
	latest, err := lockschema.Latest(Files())
	require.NoError(t, err)
	assert.Equal(t, Latest, latest)
	for _, direction := range []string{"up", "down"} {
		names, err := fs.Glob(Files(), "*."+direction+".sql")
		require.NoError(t, err)
		assert.Len(t, names, Latest)
	}
}

func TestUpDownUp(t *testing.T) {
	t.Parallel()
	db := open(t, testdb.MySQL(t))
	version := func() uint {
		v, err := Version(t.Context(), db)
		require.NoError(t, err)
		return v
	}
	assert.Zero(t, version())
	require.NoError(t, Down(t.Context(), db), "of nothing")
	assert.Empty(t, tables(t, db))

	require.NoError(t, Up(t.Context(), db))
	assert.EqualValues(t, Latest, version())
	state := describe(t, db)
	require.NoError(t, Up(t.Context(), db))
	assert.Equal(t, state, describe(t, db))

	require.NoError(t, Down(t.Context(), db))
	assert.Zero(t, version())
	assert.Empty(t, tables(t, db))
	require.NoError(t, Up(t.Context(), db))
	assert.Equal(t, state, describe(t, db))
}

func TestSQLLeavesTheSameBehindAsUp(t *testing.T) {
	t.Parallel()
	byUp := open(t, testdb.MySQL(t))
	require.NoError(t, Up(t.Context(), byUp))
	cfg := testdb.MySQL(t)
	cfg.MultiStatements = true
	bySQL := open(t, cfg)
	exec(t, bySQL, SQL())
	assert.Equal(t, describe(t, byUp), describe(t, bySQL))
	require.NoError(t, Up(t.Context(), bySQL))
	require.NoError(t, Down(t.Context(), bySQL))
	assert.Empty(t, tables(t, bySQL))
}

func TestMigrationThatWasCutOffIsBegunAgain(t *testing.T) {
	t.Parallel()
	db := open(t, testdb.MySQL(t))
	broken := with(t, "CREATE TABLE IF NOT EXISTS half_done (n INT); SELECT nothing FROM nowhere; CREATE TABLE more (n INT)")
	require.Error(t, newOptions(nil).lockSchema(broken).Up(t.Context(), db))
	version, err := Version(t.Context(), db)
	require.NoError(t, err, "not dirty")
	assert.EqualValues(t, 1, version)
	assert.NotContains(t, tables(t, db), "more")

	mended := with(t, "CREATE TABLE IF NOT EXISTS half_done (n INT); CREATE TABLE more (n INT)")
	require.NoError(t, newOptions(nil).lockSchema(mended).Up(t.Context(), db))
	assert.Contains(t, tables(t, db), "more")
}

func TestUpRepairsWhatAKilledMigratorLeftBehind(t *testing.T) {
	t.Parallel()
	db := open(t, testdb.MySQL(t))
	require.NoError(t, Up(t.Context(), db))
	state := describe(t, db)
	for _, table := range tables(t, db) {
		if table == lockschema.VersionTable {
			continue
		}
		exec(t, db, "DELETE FROM "+lockschema.VersionTable, "DROP TABLE "+table) // as if it had not come so far
		require.NoError(t, Up(t.Context(), db))
		assert.Equal(t, state, describe(t, db), table)
	}
}

// cutOff is a server of which the migrator hears nothing more once it has dropped something.
type cutOff struct{ server }

func (c cutOff) Run(ctx context.Context, conn *sql.Conn, statements string) error {
	err := c.server.Run(ctx, conn, statements)
	if err == nil && strings.Contains(statements, "DROP") {
		err = errors.New("cut off")
	}
	return err
}

func TestDownThatWasCutOffLeavesNothingThatUpTakesForTheTables(t *testing.T) {
	t.Parallel()
	db := open(t, testdb.MySQL(t))
	require.NoError(t, Up(t.Context(), db))
	state := describe(t, db)
	require.ErrorContains(t, lockschema.Schema{Files: files, Database: cutOff{}}.Down(t.Context(), db), "cut off")
	require.NoError(t, Up(t.Context(), db))
	assert.Equal(t, state, describe(t, db))

	require.ErrorContains(t, lockschema.Schema{Files: files, Database: cutOff{}}.Down(t.Context(), db), "cut off")
	require.NoError(t, Down(t.Context(), db))
	assert.Empty(t, tables(t, db))
}

func TestDirtyAndNewerVersionsAreLeftAlone(t *testing.T) {
	t.Parallel()
	db := open(t, testdb.MySQL(t))
	require.NoError(t, Up(t.Context(), db))
	exec(t, db, "UPDATE sqllock_schema_version SET dirty = true")
	state := describe(t, db)
	require.ErrorIs(t, Up(t.Context(), db), ErrDirty)
	require.ErrorIs(t, Down(t.Context(), db), ErrDirty)
	_, err := Version(t.Context(), db)
	require.ErrorIs(t, err, ErrDirty)
	assert.Equal(t, state, describe(t, db))

	exec(t, db, "UPDATE sqllock_schema_version SET dirty = false, version = 7")
	require.NoError(t, Up(t.Context(), db))
	require.ErrorContains(t, Down(t.Context(), db), "newer than this program")
	version, err := Version(t.Context(), db)
	require.NoError(t, err)
	assert.EqualValues(t, 7, version)
}

// TestWaiterEndsWithItsContext has somebody else migrate, and then not.
func TestWaiterEndsWithItsContext(t *testing.T) {
	t.Parallel()
	server := testdb.StartMySQL(t)
	db := open(t, server.Config())
	holder, err := db.Conn(t.Context())
	require.NoError(t, err)
	defer holder.Close()
	exec(t, holder, "DO GET_LOCK('"+lockName+"', 0)")
	start := time.Now() // before that of the context
	ctx, cancel := context.WithTimeout(t.Context(), 230*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, Up(ctx, db), context.DeadlineExceeded)
	assert.GreaterOrEqual(t, time.Since(start), 230*time.Millisecond)
	assert.Empty(t, tables(t, db))

	up := make(chan error, 1)
	go func() { up <- Up(t.Context(), db) }()
	exec(t, holder, "DO RELEASE_LOCK('"+lockName+"')")
	require.NoError(t, <-up)
	assert.Equal(t, []string{""}, query(t, db, "SELECT IS_USED_LOCK('"+lockName+"')"), "given back")
}

func TestUpInAnotherDatabase(t *testing.T) {
	t.Parallel()
	cfg := testdb.MySQL(t)
	elsewhere := open(t, testdb.MySQL(t))
	there := query(t, elsewhere, "SELECT DATABASE()")[0]
	db := open(t, cfg)
	db.SetMaxOpenConns(1)
	require.NoError(t, Up(t.Context(), db, Database(there)))
	assert.Empty(t, tables(t, db), "and the connection is where it was")
	assert.NotEmpty(t, tables(t, elsewhere))
	require.NoError(t, Down(t.Context(), db, Database(there)))
	assert.Empty(t, tables(t, elsewhere))

	err := Up(t.Context(), db, Database("nowhere"))
	require.ErrorContains(t, err, "migrations/mysql: ")
	require.ErrorContains(t, err, "CREATE DATABASE first")
	cfg.DBName = ""
	require.ErrorContains(t, Up(t.Context(), open(t, cfg)), "name a database in the DSN")
	for _, name := range []string{"", "nul\x00", strings.Repeat("x", 65)} {
		require.ErrorIs(t, Up(t.Context(), nil, Database(name)), sqllock.ErrInvalid)
	}
}

// TestProcess is what other tests run in processes of their own.
func TestProcess(t *testing.T) {
	role, dsn := proctest.Role()
	switch role {
	case "":
		t.Skip("only runs inside other tests")
	case "up":
		db := openDSN(t, dsn)
		require.NoError(t, db.PingContext(t.Context()))
		proctest.Say("ready")
		proctest.Hold()
		require.NoError(t, Up(t.Context(), db))
	case "hang":
		db := openDSN(t, dsn)
		err := newOptions(nil).lockSchema(with(t, "CREATE TABLE half_done (n INT); DO SLEEP(5)")).Up(t.Context(), db)
		require.NoError(t, errors.Join(err, errors.New("it was to be killed")))
	default:
		t.Fatalf("unknown role %q", role)
	}
}

func TestProcessesThatStartTogetherMigrateOnceAndAllSucceed(t *testing.T) {
	t.Parallel()
	cfg := testdb.MySQL(t)
	processes := make([]*proctest.Process, 8)
	for i := range processes {
		processes[i] = proctest.Start(t, "TestProcess", "up", cfg.FormatDSN())
	}
	for _, p := range processes {
		p.Await("ready")
	}
	for _, p := range processes {
		p.Release()
	}
	for _, p := range processes {
		p.Succeeds()
	}
	version, err := Version(t.Context(), open(t, cfg))
	require.NoError(t, err)
	assert.EqualValues(t, Latest, version)
}

func TestMigratorThatIsKilledKeepsNobodyOut(t *testing.T) {
	t.Parallel()
	server := testdb.StartMySQL(t)
	db := open(t, server.Config())
	p := proctest.Start(t, "TestProcess", "hang", server.Config().FormatDSN())
	require.Eventually(t, func() bool {
		return len(query(t, db, "SELECT id FROM information_schema.processlist WHERE info LIKE 'DO SLEEP%'")) == 1
	}, patience, 5*time.Millisecond)
	p.Kill()

	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	later := newOptions(nil).lockSchema(with(t, "CREATE TABLE IF NOT EXISTS half_done (n INT)"))
	require.NoError(t, later.Up(ctx, db), "waits until the server has noticed")
	version, err := Version(t.Context(), db)
	require.NoError(t, err)
	assert.EqualValues(t, Latest+1, version)
}
