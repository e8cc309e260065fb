package migrations_test

import (
	"context"
	"errors"
	"io/fs"
	"sync"
	"testing"
	"time"

	"github.com/golang-migrate/migrate/v4"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sqllock/toolkit/migrations"
	"github.com/sqllock/toolkit/sqlite"
	"github.com/sqllock/toolkit/sqllock"
)

// Three migrations, of which the one in the middle makes something happen.
func threeWith(t *testing.T, event func(s *scene)) *scene {
	t.Helper()
	s := newScene(t, "CREATE TABLE steps (n)", "SELECT happen('"+t.Name()+"'); INSERT INTO steps VALUES (2)", "INSERT INTO steps VALUES (3)")
	s.happens(func() { event(s) })
	return s
}

func TestUpOfManyMigratesOnce(t *testing.T) {
	t.Parallel()
	s := newScene(t, "CREATE TABLE steps (n)", "INSERT INTO steps VALUES (2)", "INSERT INTO steps VALUES (3)")
	var all sync.WaitGroup
	for range 10 {
		locks := s.client()
		all.Go(func() { assert.NoError(t, migrations.Up(t.Context(), locks, name, s.open)) })
	}
	all.Wait()
	s.clean(3)
	assert.Equal(t, 2, s.count("steps"))
}

func TestUpBeginsNoMigrationAfterALoss(t *testing.T) {
	t.Parallel()
	s := threeWith(t, func(s *scene) { s.takeAway() })
	locks := s.client(sqlite.Poll(time.Second)) // hears of it too late, unless it asks

	err := migrations.Up(t.Context(), locks, name, s.open)

	require.ErrorIs(t, err, sqllock.ErrLost)
	require.ErrorContains(t, err, "no further migration was begun")
	s.clean(2)
	assert.Equal(t, 1, s.count("steps"))
	require.NoError(t, migrations.Up(t.Context(), s.locks, name, s.open), "goes on from there")
	s.clean(3)
	assert.Equal(t, 2, s.count("steps"))
}

func TestUpReportsALossInTheLastMigration(t *testing.T) {
	t.Parallel()
	s := newScene(t, "SELECT happen('"+t.Name()+"')")
	s.happens(s.takeAway)
	require.ErrorIs(t, migrations.Up(t.Context(), s.locks, name, s.open), sqllock.ErrLost)
	s.clean(1)
}

func TestUpBeginsNoMigrationAfterItsContext(t *testing.T) {
	t.Parallel()
	reason := errors.New("shutting down")
	ctx, cancel := context.WithCancelCause(t.Context())
	s := threeWith(t, func(*scene) { cancel(reason) })

	require.ErrorIs(t, migrations.Up(ctx, s.locks, name, s.open), reason)

	s.clean(2)
	s.free()
}

func TestUpEndsWithGracefulStop(t *testing.T) {
	t.Parallel()
	var m *migrate.Migrate
	s := threeWith(t, func(*scene) { m.GracefulStop <- true })

	err := migrations.Up(t.Context(), s.locks, name, func(ctx context.Context) (_ *migrate.Migrate, err error) {
		m, err = s.open(ctx)
		return m, err
	})

	require.ErrorContains(t, err, "GracefulStop")
	s.clean(2)
	s.free()
}

func TestUpRunsNothingOnADirtyDatabase(t *testing.T) {
	t.Parallel()
	s := newScene(t, "CREATE TABLE steps (n)", "INSERT INTO steps VALUES (2)")
	s.markDirty(1)

	err := migrations.Up(t.Context(), s.locks, name, s.open)

	dirty, ok := errors.AsType[*migrations.DirtyError](err)
	require.True(t, ok, "%v", err)
	assert.Equal(t, 1, dirty.Version)
	s.dirty(1)
	s.free()
}

func TestUpReturnsTheErrorOfAMigration(t *testing.T) {
	t.Parallel()
	s := newScene(t, "SELECT missing")
	err := migrations.Up(t.Context(), s.locks, name, s.open)
	require.ErrorContains(t, err, "no such column: missing")
	require.NotErrorIs(t, err, migrations.ErrDirty, "the next one will tell")
	require.ErrorIs(t, migrations.Up(t.Context(), s.locks, name, s.open), migrations.ErrDirty)
}

func TestUpReturnsTheErrorOfTheSource(t *testing.T) {
	t.Parallel()
	s := newScene(t, "CREATE TABLE steps (n)", "INSERT INTO steps VALUES (2)")
	require.NoError(t, migrations.Up(t.Context(), s.locks, name, s.open))
	delete(s.files, "0002_title.up.sql")
	err := migrations.Up(t.Context(), s.locks, name, s.open)
	require.ErrorIs(t, err, fs.ErrNotExist, "an older program on a newer database")
	require.ErrorContains(t, err, "version 2")
}

func TestUpReturnsTheErrorOfOpen(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	failed := errors.New("no such host")
	err := migrations.Up(t.Context(), s.locks, name, func(context.Context) (*migrate.Migrate, error) { return nil, failed })
	assert.Equal(t, failed, err)
	s.free()
}

func TestUpReturnsTheErrorOfClose(t *testing.T) {
	t.Parallel()
	s := newScene(t, "CREATE TABLE steps (n)")
	failed := errors.New("close failed")
	for range 2 { // with something to do and with nothing
		err := migrations.Up(t.Context(), s.locks, name, func(context.Context) (*migrate.Migrate, error) {
			d, err := s.driver()
			require.NoError(t, err)
			return s.with(&watched{Driver: d, closing: failed})
		})
		require.ErrorIs(t, err, failed)
		s.clean(1)
	}
}
