package mysql

import (
	"context"
	"database/sql"
	"fmt"
	"io/fs"

	"github.com/sqllock/toolkit/migrations/internal/lockschema"
)

// ErrDirty is matched by the errors of [Up], [Down] and [Version] when a row of sqllock_schema_version is marked dirty.
// This package never leaves such a row behind, so somebody else wrote it, by hand or with another tool, and knows what it
// means. Nothing was changed.
var ErrDirty = lockschema.ErrDirty

// Up brings the tables to version [Latest]. If they are there already, or newer, it sends one
// SELECT, for which the right to read sqllock_schema_version is enough. Whether a newer version still serves this program
// is for the backends to say, which look when they start.
//
// Up uses one connection of db, and closes it if it has changed anything. Any number of processes and goroutines may call it at the same time:
// one of them does the work, the others wait for it until ctx ends, and then return an error that matches the cause of ctx. After an error
// some of the tables may be there already; calling Up again is right.
//
// The user must be allowed to create tables and to write to them; the error says so if not. Other errors are [ErrDirty] and those of the
// database, wrapped.
func Up(ctx context.Context, db *sql.DB, opts ...Option) error {
	o := newOptions(opts)
	if o.err != nil {
		return o.explain(o.err)
	}
	return o.explain(o.lockSchema(files).Up(ctx, db))
}

// Down drops the toolkit's tables, sqllock_schema_version among them, in one statement. Everything that is locked
// through them is lost, at once and without ending the holders, and so are the counters of the fencing tokens: after the
// next Up they start again, below tokens that were given out before. Session locks, which are not kept in tables, stay held.
// On a database without the tables it does nothing.
//
// Down waits for every transaction that has used the tables, and whoever comes later waits for Down: bound it by ctx. It
// may be called at the same time as [Up] and Down elsewhere. It fails with [ErrDirty], on a version newer than [Latest], and
// with errors of the database, wrapped; then call it again.
func Down(ctx context.Context, db *sql.DB, opts ...Option) error {
	o := newOptions(opts)
	if o.err != nil {
		return o.explain(o.err)
	}
	return o.explain(o.lockSchema(files).Down(ctx, db))
}

// Version returns the version of the installed tables, which may be newer than [Latest], or 0 if there are none. It needs
// the right to read sqllock_schema_version. Its errors are [ErrDirty], with the version, and those of the database, wrapped.
func Version(ctx context.Context, db *sql.DB, opts ...Option) (version uint, err error) {
	o := newOptions(opts)
	if o.err != nil {
		return 0, o.explain(o.err)
	}
	version, err = o.lockSchema(files).Version(ctx, db)
	return version, o.explain(err)
}

func (o options) lockSchema(files fs.FS) lockschema.Schema {
	return lockschema.Schema{Files: files, Database: server{o.database}}
}

// explain adds to err who says so and, where that is known, what to do.
func (o options) explain(err error) error {
	if err == nil {
		return nil
	}
	advice := ""
	switch number(err) {
	case accessDeniedToDatabase, accessDeniedToTable:
		advice = fmt.Sprintf("; the user must be allowed to read %s and, unless an administrator runs the text of SQL(), "+
			"to create, write and drop tables", server{o.database}.VersionTable())
	case noDatabaseSelected:
		advice = "; name a database in the DSN, or give Database"
	case unknownDatabase:
		advice = "; CREATE DATABASE first, or name another one with Database"
	}
	return fmt.Errorf("migrations/mysql: %w%s", err, advice)
}
