package sqlite

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/sqllock/toolkit/migrations/internal/lockschema"
)

// ErrDirty is matched by the errors of [Up], [Down] and [Version] when a row of sqllock_schema_version is marked dirty.
// This package never leaves such a row behind, so somebody else wrote it, by hand or with another tool, and knows what it
// means. Nothing was changed.
var ErrDirty = lockschema.ErrDirty

// Up brings the tables to version [Latest], all at once or not at all. If they are there already, or newer, it only reads
// the version, for which a connection opened with mode=ro is enough. Whether a newer version still serves this program is
// for the backend to say, which looks when it starts.
//
// Up uses one connection of db. Any number of processes and goroutines may call it at the same time: one of them does the
// work, the others wait for it until ctx ends, and then return an error that matches the cause of ctx. After an error
// nothing has changed, and calling Up again is right.
//
// Errors are [ErrDirty] and those of SQLite, wrapped.
func Up(ctx context.Context, db *sql.DB) error {
	return explain(schema.Up(ctx, db))
}

// Down drops the toolkit's tables, sqllock_schema_version among them, at once or not at all. Everything that is locked
// through them is lost, at once and without ending the holders, and so are the counters of the fencing tokens: after the
// next Up they start again, below tokens that were given out before. On a file without the tables it does nothing.
//
// It may be called at the same time as [Up] and Down elsewhere. It fails with [ErrDirty], on a version newer than [Latest],
// and with errors of SQLite, wrapped.
func Down(ctx context.Context, db *sql.DB) error {
	return explain(schema.Down(ctx, db))
}

// Version returns the version of the installed tables, which may be newer than [Latest], or 0 if there are none. It writes
// nothing. Its errors are [ErrDirty], with the version, and those of SQLite, wrapped.
func Version(ctx context.Context, db *sql.DB) (version uint, err error) {
	version, err = schema.Version(ctx, db)
	return version, explain(err)
}

var schema = lockschema.Schema{Files: files, Database: file{}}

func explain(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("migrations/sqlite: %w", err)
}
