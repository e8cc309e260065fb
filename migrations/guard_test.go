package migrations_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/golang-migrate/migrate/v4"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sqllock/toolkit/migrations"
	"github.com/sqllock/toolkit/sqllock"
)

func TestGuardRunsWhileTheNameIsLocked(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	failed := errors.New("failed")
	err := migrations.Guard(t.Context(), s.locks, name, func(context.Context) error {
		s.taken()
		return failed
	})
	assert.Equal(t, failed, err)
	s.free()

	assert.Panics(t, func() {
		_ = migrations.Guard(t.Context(), s.locks, name, func(context.Context) error { panic("in a migration") })
	})
	s.free()
}

func TestGuardRunsNothingWithoutTheLock(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	_, err := s.client().Acquire(t.Context(), name)
	require.NoError(t, err)
	reason := errors.New("shutting down")
	ctx, cancel := context.WithTimeoutCause(t.Context(), 100*poll, reason)
	defer cancel()

	err = migrations.Guard(ctx, s.locks, name, func(context.Context) error {
		t.Error("ran")
		return nil
	})

	require.ErrorIs(t, err, sqllock.ErrNotAcquired)
	require.ErrorIs(t, err, reason)
}

func TestGuardTakesNothingToDoForSuccess(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	closing, foreign := errors.New("close failed"), new(wrapsNothing)
	for err, want := range map[error]error{
		migrate.ErrNoChange:                            nil,
		fmt.Errorf("wrapped: %w", migrate.ErrNoChange): nil,
		errors.Join(migrate.ErrNoChange, nil):          nil,
		errors.Join(migrate.ErrNoChange, closing):      closing,
		foreign: foreign,
	} {
		got := migrations.Guard(t.Context(), s.locks, name, func(context.Context) error { return err })
		require.ErrorIs(t, got, want)
	}
}

// wrapsNothing is an error with the method of a list, and nothing in it.
type wrapsNothing struct{}

func (*wrapsNothing) Error() string   { return "of its own" }
func (*wrapsNothing) Unwrap() []error { return nil }

func TestGuardTellsThatTheClientWasClosed(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	err := migrations.Guard(t.Context(), s.locks, name, func(ctx context.Context) error { return s.locks.Close(ctx) })
	require.ErrorIs(t, err, sqllock.ErrClosed)
}

func TestGuardEndsTheContextWithTheLock(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	err := migrations.Guard(t.Context(), s.locks, name, func(ctx context.Context) error {
		s.takeAway()
		<-ctx.Done()
		assert.ErrorIs(t, context.Cause(ctx), sqllock.ErrLost)
		return nil // as golang-migrate would that hears of nothing
	})
	require.ErrorIs(t, err, sqllock.ErrLost)
	require.ErrorIs(t, err, sqllock.ErrForced)
}

func TestGuardExplainsDirtyDatabases(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	closing := errors.New("close failed")
	for what, told := range map[string]error{
		"alone":  migrate.ErrDirty{Version: 3},
		"joined": errors.Join(fmt.Errorf("wrapped: %w", migrate.ErrDirty{Version: 3}), closing),
	} {
		err := migrations.Guard(t.Context(), s.locks, name, func(context.Context) error { return told })

		require.ErrorIs(t, err, migrations.ErrDirty, what)
		require.ErrorIs(t, err, migrate.ErrDirty{Version: 3}, what)
		dirty, ok := errors.AsType[*migrations.DirtyError](err)
		require.True(t, ok, what)
		assert.Equal(t, 3, dirty.Version, what)
		assert.ErrorContains(t, err, "at version 3", what)
		assert.ErrorContains(t, err, "force version 3", what)
		if what == "joined" {
			require.ErrorIs(t, err, closing)
			assert.ErrorContains(t, err, "close failed")
		}
	}
}
