package migrations_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/golang-migrate/migrate/v4/database"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sqllock/toolkit/migrations"
	"github.com/sqllock/toolkit/sqllock"
)

// watched is a driver that tells what it is asked for.
type watched struct {
	database.Driver
	calls   []string
	marked  func()
	closing error
}

func (w *watched) Lock() error { w.calls = append(w.calls, "lock"); return w.Driver.Lock() }

func (w *watched) Run(migration io.Reader) error {
	w.calls = append(w.calls, "run")
	return w.Driver.Run(migration)
}

func (w *watched) SetVersion(version int, dirty bool) error {
	w.calls = append(w.calls, "set version")
	err := w.Driver.SetVersion(version, dirty)
	if dirty && w.marked != nil {
		w.marked()
	}
	return err
}

func (w *watched) Drop() error { w.calls = append(w.calls, "drop"); return w.Driver.Drop() }

func (w *watched) Close() error {
	w.calls = append(w.calls, "close")
	return errors.Join(w.Driver.Close(), w.closing)
}

// opened is the driver that Open makes of what the scene has, and that.
func (s *scene) opened() (database.Driver, *watched) {
	s.Helper()
	inner := new(watched)
	d, err := migrations.Open(s.Context(), s.locks, name, func() (_ database.Driver, err error) {
		inner.Driver, err = s.driver()
		return inner, err
	})
	require.NoError(s, err)
	return d, inner
}

// awaitLoss returns when the driver has heard that its lock is lost.
func awaitLoss(t *testing.T, d database.Driver) {
	t.Helper()
	require.Eventually(t, func() bool {
		err := d.Lock()
		if err == nil {
			_ = d.Unlock()
		}
		return errors.Is(err, sqllock.ErrLost)
	}, patience, poll)
}

func TestDriverMigratesUnderTheLockUntilItIsClosed(t *testing.T) {
	t.Parallel()
	s := newScene(t, "CREATE TABLE steps (n)", "INSERT INTO steps VALUES (2)")
	d, inner := s.opened()
	m, err := s.with(d)
	require.NoError(t, err)
	require.NoError(t, m.Up())
	s.clean(2)
	s.taken()
	require.NoError(t, m.Drop())
	fromSource, fromDatabase := m.Close()
	require.NoError(t, errors.Join(fromSource, fromDatabase))
	s.free()
	assert.NotContains(t, inner.calls, "lock")
	assert.Equal(t, "close", inner.calls[len(inner.calls)-1])
}

func TestOpenLocksBeforeItOpens(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	lock, err := s.client().Acquire(t.Context(), name)
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 100*poll)
	defer cancel()
	_, err = migrations.Open(ctx, s.locks, name, func() (database.Driver, error) {
		t.Error("opened")
		return s.driver()
	})
	require.ErrorIs(t, err, sqllock.ErrNotAcquired)

	require.NoError(t, lock.Release(t.Context()))
	d, err := migrations.Open(t.Context(), s.locks, name, func() (database.Driver, error) {
		s.taken()
		return s.driver()
	})
	require.NoError(t, err)
	require.NoError(t, d.Close())
}

func TestOpenThatFailsLeavesNothingLocked(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	failed := errors.New("no such host")
	_, err := migrations.Open(t.Context(), s.locks, name, func() (database.Driver, error) { return nil, failed })
	assert.Equal(t, failed, err)
	s.free()
	assert.Panics(t, func() {
		_, _ = migrations.Open(t.Context(), s.locks, name, func() (database.Driver, error) { panic("in a driver") })
	})
	s.free()
}

func TestOpenRefusesADirtyDatabase(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.markDirty(7)
	var inner *watched
	_, err := migrations.Open(t.Context(), s.locks, name, func() (database.Driver, error) {
		d, err := s.driver()
		inner = &watched{Driver: d}
		return inner, err
	})
	require.ErrorIs(t, err, migrations.ErrDirty)
	dirty, ok := errors.AsType[*migrations.DirtyError](err)
	require.True(t, ok)
	assert.Equal(t, 7, dirty.Version)
	assert.Equal(t, []string{"close"}, inner.calls)
	s.free()
}

func TestDriverWritesNothingAfterALoss(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	for what, call := range map[string]func(database.Driver) error{
		"mark":   func(d database.Driver) error { return d.SetVersion(1, true) },
		"record": func(d database.Driver) error { return d.SetVersion(1, false) },
		"run":    func(d database.Driver) error { return d.Run(strings.NewReader("CREATE TABLE steps (n)")) },
		"drop":   func(d database.Driver) error { return d.Drop() },
		"lock":   func(d database.Driver) error { return d.Lock() },
	} {
		d, inner := s.opened()
		s.takeAway()
		if what != "mark" && what != "drop" { // these ask
			awaitLoss(t, d)
		}
		require.ErrorIs(t, call(d), sqllock.ErrLost, what)
		assert.Empty(t, inner.calls, what)
		require.ErrorIs(t, d.Close(), sqllock.ErrLost, what)
		assert.Equal(t, []string{"close"}, inner.calls, what)
	}
}

func TestMigrationIsNotRunIfTheLockIsLostWhileItIsMarked(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	d, inner := s.opened()
	inner.marked = s.takeAway
	err := d.SetVersion(1, true)
	require.ErrorIs(t, err, sqllock.ErrLost)
	require.ErrorContains(t, err, "nothing of that migration was run")
	s.dirty(1)
	require.ErrorIs(t, d.Close(), sqllock.ErrLost)
}

func TestMigrationThatOutlivesItsLockStaysMarked(t *testing.T) {
	t.Parallel()
	s := newScene(t, "CREATE TABLE steps (n); SELECT happen('"+t.Name()+"')")
	d, _ := s.opened()
	s.happens(func() {
		s.takeAway()
		require.Eventually(t, func() bool { return errors.Is(d.Drop(), sqllock.ErrLost) }, patience, poll)
	})
	m, err := s.with(d)
	require.NoError(t, err)
	require.ErrorIs(t, m.Up(), sqllock.ErrLost)
	s.dirty(1)
	assert.Equal(t, 0, s.count("steps"), "it ran to its end")
	fromSource, fromDatabase := m.Close()
	require.NoError(t, fromSource)
	require.ErrorIs(t, fromDatabase, sqllock.ErrLost)
	_, err = migrations.Open(t.Context(), s.locks, name, s.driver)
	require.ErrorIs(t, err, migrations.ErrDirty)
}

func TestUnlockTellsOfALoss(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	d, _ := s.opened()
	require.ErrorIs(t, d.Unlock(), database.ErrNotLocked)
	require.NoError(t, d.Lock())
	require.ErrorIs(t, d.Lock(), database.ErrLocked)
	s.takeAway()
	require.Eventually(t, func() bool { return errors.Is(d.Drop(), sqllock.ErrLost) }, patience, poll)
	require.ErrorIs(t, d.Unlock(), sqllock.ErrLost)
	require.ErrorIs(t, d.Close(), sqllock.ErrLost)
}
