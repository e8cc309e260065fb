package lockschema

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"math"

	"github.com/golang-migrate/migrate/v4"
	"github.com/golang-migrate/migrate/v4/database"
	"github.com/golang-migrate/migrate/v4/source/iofs"
)

// ErrDirty says that the version table marks its version as dirty.
var ErrDirty = errors.New("the schema is marked dirty")

// errNewer says that the version is none of the files'.
var errNewer = errors.New("the schema is newer than this program")

// A Database is what the databases do differently.
type Database interface {
	// VersionTable is the name of the version table for use in SQL, qualified by its schema.
	VersionTable() string
	// Begin begins a transaction that excludes other migrators of this schema and in which unqualified names mean it. It
	// does not wait for them, but returns an error that is Busy. After any other error the transaction may be open.
	Begin(ctx context.Context, conn *sql.Conn) error
	// Busy tells whether err says that somebody else is at work, and that the same statement may succeed when tried again.
	Busy(err error) bool
	// NoTable tells whether err says that the version table does not exist.
	NoTable(err error) bool
}

// A Stepwise database commits each statement that defines a table as it runs. The statements of its files can be repeated: a migration that
// was cut off leaves the version of before, and is begun again. The last statement on the way down drops the version table too.
type Stepwise interface {
	Database
	// Run executes statements one by one.
	Run(ctx context.Context, conn *sql.Conn, statements string) error
	// End ends what Begin has begun, however far that came.
	End(ctx context.Context, conn *sql.Conn) error
}

// A Schema is the tables that Files describe, in a Database. Errors of its methods are without the package's prefix.
type Schema struct {
	Files    fs.FS
	Database Database
}

// Up applies what is missing of the files. If nothing is, or the version is newer, it does no more than read the version.
func (s Schema) Up(ctx context.Context, db *sql.DB) error {
	latest, err := Latest(s.Files)
	if err != nil {
		return err
	}
	return s.withConn(ctx, db, func(conn *sql.Conn) error {
		installed, err := s.version(ctx, conn)
		if err != nil || installed >= latest {
			return err
		}
		err = s.migrate(ctx, conn, latest, (*migrate.Migrate).Up)
		if errors.Is(err, errNewer) {
			return nil // while this call waited for the lock
		}
		return err
	})
}

// Down removes everything, and the version table with it.
func (s Schema) Down(ctx context.Context, db *sql.DB) error {
	latest, err := Latest(s.Files)
	if err != nil {
		return err
	}
	return s.withConn(ctx, db, func(conn *sql.Conn) error {
		installed, err := s.version(ctx, conn)
		if err != nil || installed == database.NilVersion {
			return err
		}
		err = s.migrate(ctx, conn, latest, (*migrate.Migrate).Down)
		if errors.Is(err, errNewer) {
			return fmt.Errorf("%w, which knows the tables up to version %d and cannot remove what it does not know: "+
				"use Down of the newer one", err, latest)
		}
		return err
	})
}

// Version returns the version of the installed tables, 0 for none.
func (s Schema) Version(ctx context.Context, db *sql.DB) (version uint, err error) {
	err = s.withConn(ctx, db, func(conn *sql.Conn) error {
		installed, err := s.version(ctx, conn)
		version = uint(max(installed, 0))
		return err
	})
	return version, err
}

// withConn runs f on a connection that nobody else uses meanwhile: a transaction begun by a plain BEGIN belongs to one.
func (s Schema) withConn(ctx context.Context, db *sql.DB, f func(*sql.Conn) error) error {
	var conn *sql.Conn
	err := patiently(ctx, s.Database.Busy, func() (err error) {
		conn, err = db.Conn(ctx) // on SQLite a setting in the DSN, such as the journal mode, may need locks
		return err
	})
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer conn.Close()
	return f(conn)
}

// version reads the version outside of any transaction.
func (s Schema) version(ctx context.Context, conn *sql.Conn) (int, error) {
	var version int
	var dirty bool
	err := patiently(ctx, s.Database.Busy, func() (err error) {
		version, dirty, err = readVersion(ctx, conn, s.Database.VersionTable())
		return err
	})
	switch {
	case err == nil && dirty:
		return version, s.dirty(version)
	case err == nil:
		return version, nil
	case s.Database.NoTable(err):
		return database.NilVersion, nil
	default:
		return database.NilVersion, fmt.Errorf("read the schema's version: %w", err)
	}
}

func readVersion(ctx context.Context, conn *sql.Conn, table string) (version int, dirty bool, err error) {
	err = conn.QueryRowContext(ctx, "SELECT version, dirty FROM "+table+" ORDER BY version DESC LIMIT 1").Scan(&version, &dirty)
	if errors.Is(err, sql.ErrNoRows) {
		return database.NilVersion, false, nil
	}
	return version, dirty, err
}

func (s Schema) dirty(version int) error {
	return fmt.Errorf("%w: %s says that a migration to version %d did not finish, which is not this package's doing; compare "+
		"the tables with the files, and when they agree, set dirty to false by hand",
		ErrDirty, s.Database.VersionTable(), version)
}

// migrate lets golang-migrate do what run says, in one transaction on conn.
func (s Schema) migrate(ctx context.Context, conn *sql.Conn, latest int, run func(*migrate.Migrate) error) error {
	files, err := iofs.New(s.Files, ".")
	if err != nil {
		return err
	}
	d := &driver{ctx: ctx, conn: conn, database: s.Database, latest: latest}
	m, err := migrate.NewWithInstance("files", files, "database", d)
	if err != nil {
		return err
	}
	m.LockTimeout = math.MaxInt64

	err = run(m)
	var dirty migrate.ErrDirty
	switch {
	case d.err != nil:
		return d.err // what migrate makes of it may also match ErrNoChange
	case errors.Is(err, migrate.ErrNoChange):
		return nil // somebody else did it while this call waited for the lock
	case errors.As(err, &dirty):
		return s.dirty(dirty.Version)
	}
	return err
}
