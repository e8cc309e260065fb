package sqlite

import (
	"database/sql/driver"
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	sqlitedriver "modernc.org/sqlite"

	"github.com/sqllock/toolkit/migrations/internal/proctest"
)

// TestProcess is what other tests run in processes of their own.
func TestProcess(t *testing.T) {
	role, path := proctest.Role()
	switch role {
	case "":
		t.Skip("only runs inside other tests")
	case "up":
		db := open(t, path)
		proctest.Say("ready")
		proctest.Hold()
		require.NoError(t, Up(t.Context(), db))
	case "hang":
		sqlitedriver.MustRegisterScalarFunction("hang", 0, func(*sqlitedriver.FunctionContext, []driver.Value) (driver.Value, error) {
			proctest.Say("in the middle")
			proctest.Hold()
			return nil, nil
		})
		// More than fits into the page cache, so that some of it is in the file already.
		hanging := with(t, map[string]string{
			"0002_hang.up.sql": "CREATE TABLE half_done (half); INSERT INTO half_done VALUES (randomblob(4000000)); SELECT hang()",
		})
		assert.NoError(t, hanging.Up(t.Context(), open(t, path)))
	default:
		t.Fatalf("unknown role %q", role)
	}
}

func TestProcessesThatStartTogetherMigrateOnceAndAllSucceed(t *testing.T) {
	t.Parallel()
	for _, settings := range []string{impatient, "?_pragma=busy_timeout(0)&_pragma=journal_mode(wal)", ""} {
		path := newFile(t)
		processes := make([]*proctest.Process, 10)
		for i := range processes {
			processes[i] = proctest.Start(t, "TestProcess", "up", path+settings)
		}
		for _, p := range processes {
			p.Await("ready")
		}

		for _, p := range processes {
			p.Release()
		}

		for _, p := range processes {
			p.Succeeds() // a second CREATE TABLE would have failed
		}
		version, err := Version(t.Context(), open(t, path))
		require.NoError(t, err)
		assert.EqualValues(t, Latest, version)
	}
}

func TestMigratorThatIsKilledLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	path := newFile(t)
	p := proctest.Start(t, "TestProcess", "hang", path)
	p.Await("in the middle")

	p.Kill()

	written, err := os.Stat(path)
	require.NoError(t, err)
	require.Greater(t, written.Size(), int64(1000000))
	db := open(t, path)
	assert.Empty(t, tables(t, db))
	require.NoError(t, Up(t.Context(), db))
	version, err := Version(t.Context(), db)
	require.NoError(t, err)
	assert.EqualValues(t, Latest, version)
	assert.NotContains(t, tables(t, db), "half_done")
}
