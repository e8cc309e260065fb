package sqlite

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sqllock/toolkit/migrations/internal/lockschema"
)

// awaitLocked returns when somebody has the write lock of the file.
func awaitLocked(tb testing.TB, path string) {
	tb.Helper()
	other := conn(tb, open(tb, path+impatient))
	require.Eventually(tb, func() bool {
		_, err := other.ExecContext(tb.Context(), "BEGIN IMMEDIATE")
		if err == nil {
			exec(tb, other, "ROLLBACK")
		}
		return err != nil && file{}.Busy(err)
	}, patience, poll)
}

// A waiter tells when it has found the file locked.
type waiter struct {
	file
	once  sync.Once
	waits chan struct{}
}

func (w *waiter) Busy(err error) bool {
	busy := w.file.Busy(err)
	if busy {
		w.once.Do(func() { close(w.waits) })
	}
	return busy
}

func TestCommitWaitsForReaders(t *testing.T) {
	t.Parallel()
	path := newFile(t)
	reader := conn(t, open(t, path))
	exec(t, reader, "CREATE TABLE theirs (n)", "BEGIN", "SELECT count(*) FROM theirs")
	up := make(chan error, 1)
	db := open(t, path+impatient)
	go func() { up <- Up(t.Context(), db) }()
	awaitLocked(t, path)
	assert.Empty(t, up)

	exec(t, reader, "COMMIT")

	require.NoError(t, <-up)
	version, err := Version(t.Context(), db)
	require.NoError(t, err)
	assert.EqualValues(t, Latest, version)
}

func TestWaitEndsWithItsContext(t *testing.T) {
	t.Parallel()
	for what, settings := range map[string]string{
		"in SQLite":  "?_pragma=busy_timeout(600000)",
		"in between": impatient,
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			path := newFile(t)
			writer := conn(t, open(t, path))
			exec(t, writer, "BEGIN IMMEDIATE")
			db := open(t, path+settings)
			db.SetMaxOpenConns(1)
			reason := errors.New("shutting down")
			ctx, cancel := context.WithTimeoutCause(t.Context(), 10*poll, reason)
			defer cancel()

			require.ErrorIs(t, Up(ctx, db), reason)

			exec(t, writer, "COMMIT")
			assert.Empty(t, tables(t, db))
			require.NoError(t, Up(t.Context(), db))
		})
	}
}

func TestWaiterSeesWhatHappenedMeanwhile(t *testing.T) {
	t.Parallel()
	for what, test := range map[string]struct {
		meanwhile string
		want      error
	}{
		"installed": {meanwhile: SQL()},
		"newer":     {meanwhile: SQL() + "UPDATE sqllock_schema_version SET version = 7"},
		"dirty":     {meanwhile: SQL() + "UPDATE sqllock_schema_version SET dirty = true", want: ErrDirty},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			path := newFile(t)
			writer := conn(t, open(t, path+"?_pragma=busy_timeout(30000)"))
			exec(t, writer, "BEGIN IMMEDIATE", test.meanwhile)
			up := make(chan error, 1)
			db := open(t, path+impatient)
			waiter := &waiter{waits: make(chan struct{})}
			go func() { up <- lockschema.Schema{Files: files, Database: waiter}.Up(t.Context(), db) }()
			<-waiter.waits

			exec(t, writer, "COMMIT")

			require.ErrorIs(t, <-up, test.want)
			_, err := Version(t.Context(), db)
			require.ErrorIs(t, err, test.want)
		})
	}
}
