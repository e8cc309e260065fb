package migrations

import (
	"errors"
	"fmt"

	"github.com/golang-migrate/migrate/v4"
)

// ErrDirty is matched by every [DirtyError].
var ErrDirty = errors.New("migrations: the database is marked dirty")

// DirtyError says that golang-migrate's version table marks the database as dirty: a migration was begun, and nobody has recorded its
// end. Nothing was run. This package never forces a version, because only somebody who looks can tell what is left of that migration.
type DirtyError struct {
	Version int // which was to be reached
	cause   error
}

func (e *DirtyError) Error() string {
	text := fmt.Sprintf("migrations: the database is marked dirty at version %d, so nothing was run: the migration to that version has failed, or "+
		"its process has died or lost the lock in the middle of it, in which case the server may still be running it. Find out what it has left behind. "+
		"Then complete it by hand and let golang-migrate force version %[1]d, or undo it and force the version it started from", e.Version)
	if e.cause != nil && e.cause.Error() != (migrate.ErrDirty{Version: e.Version}).Error() {
		text += fmt.Sprintf(" (%v)", e.cause)
	}
	return text
}

// Is reports that a DirtyError is an [ErrDirty].
func (e *DirtyError) Is(target error) bool { return target == ErrDirty }

// Unwrap returns the error that golang-migrate gave, with all that was joined to it.
func (e *DirtyError) Unwrap() error { return e.cause }

// dirty makes a DirtyError of err if golang-migrate says in it that the database is dirty.
func dirty(err error) error {
	told, isDirty := errors.AsType[migrate.ErrDirty](err)
	if !isDirty || errors.Is(err, ErrDirty) {
		return err
	}
	return &DirtyError{Version: told.Version, cause: err}
}
