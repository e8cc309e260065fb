package migrations

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/golang-migrate/migrate/v4"

	"github.com/sqllock/toolkit/sqllock"
)

// Guard waits until name is locked, or ctx ends, and runs fn while it is. fn opens the database for migrating *and* migrates, with any
// tool: opening it writes already, because that is when golang-migrate makes its version table. Everything that migrates this database has to
// do so under the same name.
//
// The context that fn gets ends when the lock is lost, with the [sqllock.LostError] as its cause. A tool that heeds it, such as goose, stops
// then; golang-migrate does not, and for that there are [Up] and [Open].
//
// Guard returns fn's error, with two exceptions: migrate.ErrNoChange is nil, because another process was first, and migrate.ErrDirty becomes a
// [DirtyError]. If the lock was lost meanwhile, the error matches [sqllock.ErrLost], whatever fn has returned. Other errors are those of
// [sqllock.Client.Acquire] and [sqllock.Lock.Release].
func Guard(ctx context.Context, locks *sqllock.Client, name string, fn func(ctx context.Context) error) error {
	return guard(ctx, locks, name, func(ctx context.Context, _ *sqllock.Lock) error { return fn(ctx) })
}

func guard(ctx context.Context, locks *sqllock.Client, name string, fn func(context.Context, *sqllock.Lock) error) (err error) {
	lock, err := locks.Acquire(ctx, name)
	if err != nil {
		return notLocked(err)
	}
	held, cancel := lock.Context(ctx)
	defer func() {
		cancel()
		err = released(ctx, verdict(err), lock)
	}()
	return fn(held, lock)
}

func notLocked(err error) error { return fmt.Errorf("migrations: nothing was run: %w", err) }

// released gives lock up, and joins to err what that has told unless err says it already, as it does when the work ended with the lock.
func released(ctx context.Context, err error, lock *sqllock.Lock) error {
	end := lock.Release(ctx)
	if closed := lock.Err(); errors.Is(closed, sqllock.ErrClosed) { // while the work was under way
		end = closed
	}
	if end != nil && !errors.Is(err, end) {
		return errors.Join(err, end)
	}
	return err
}

// verdict is what an error of golang-migrate means to somebody who was not the only one to start.
func verdict(err error) error {
	if unchanged(err) {
		return nil
	}
	return dirty(err)
}

// unchanged tells whether err is an ErrNoChange and nothing else: what an application has joined to one must not be lost.
func unchanged(err error) bool {
	if err == migrate.ErrNoChange { //nolint:errorlint // errors.Is finds it beside others
		return true
	}
	switch e := err.(type) { //nolint:errorlint // the same
	case interface{ Unwrap() error }:
		return unchanged(e.Unwrap())
	case interface{ Unwrap() []error }:
		errs := e.Unwrap()
		return len(errs) > 0 && !slices.ContainsFunc(errs, func(err error) bool { return !unchanged(err) })
	}
	return false
}
