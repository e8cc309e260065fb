package testmigrations

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sqllock/toolkit/sqllock"
)

// terminated has the session that holds the lock ended by the server in the middle of the third migration.
func terminated(t *testing.T, r role) {
	t.Parallel()
	s := newStage(t, r)
	first := s.starts("first")
	s.awaitGated()

	b, closeBackend, err := backend(t.Context(), r.kind, r.lock, s.dsn)
	require.NoError(t, err)
	defer closeBackend()
	_, err = b.(interface {
		Terminate(ctx context.Context, name string) ([]sqllock.LockInfo, error)
	}).Terminate(t.Context(), name)
	require.NoError(t, err)
	if r.way == "open" {
		// The lock is free, the migration not: it is marked, and whoever comes sees that.
		second := s.startsTogether(1)
		s.done(second...)
		assert.Equal(t, map[string]int{"dirty at 3": 1}, s.outcomes())
	}
	s.openGate()

	s.done(first)
	assert.Equal(t, 1, s.outcomes()["lost"])
	s.ranOnce(1, 2, 3)
	if r.way == "up" {
		assert.Equal(t, "clean at 3", s.version())
	}
	s.leavesNobody()
}

func TestNoMigrationBeginsAfterALossOnPostgres(t *testing.T) {
	t.Parallel()
	t.Run("Advisory, Up", func(t *testing.T) { terminated(t, role{kind: "postgres", lock: "advisory", way: "up"}) })
	t.Run("Advisory, Open", func(t *testing.T) { terminated(t, role{kind: "postgres", lock: "advisory", way: "open"}) })
}

func TestNoMigrationBeginsAfterALossOnMySQL(t *testing.T) {
	t.Parallel()
	t.Run("Named, Up", func(t *testing.T) { terminated(t, role{kind: "mysql", lock: "named", way: "up"}) })
	t.Run("Named, Open", func(t *testing.T) { terminated(t, role{kind: "mysql", lock: "named", way: "open"}) })
}
