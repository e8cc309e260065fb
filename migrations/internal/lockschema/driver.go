package lockschema

import (
	"context"
	"database/sql"
	sqldriver "database/sql/driver"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/golang-migrate/migrate/v4/database"
)

// rollbackTimeout bounds a ROLLBACK, which has to work when the caller's context has ended.
const rollbackTimeout = 5 * time.Second

// A driver is golang-migrate's view of one connection, for one call of Up or Down; see the package comment.
//
// When a statement fails, Run and SetVersion still return nil, do nothing from then on, and leave it to Unlock to report
// err: after an error of theirs, golang-migrate would no longer read the files that it has begun to buffer, and their
// goroutines would never end.
type driver struct {
	ctx      context.Context // the interface has none, and a driver lives no longer than the call
	conn     *sql.Conn
	database Database
	latest   int

	written bool // and complete: the version is that of the tables
	err     error
}

var _ database.Driver = (*driver)(nil)

func (d *driver) Lock() error {
	err := patiently(d.ctx, d.database.Busy, func() error { return d.database.Begin(d.ctx, d.conn) })
	if err == nil {
		err = d.exec("CREATE TABLE IF NOT EXISTS " + d.database.VersionTable() + " " + versionColumns)
	}
	if err != nil {
		d.rollback()
		return fmt.Errorf("begin to migrate: %w", err)
	}
	return nil
}

func (d *driver) Unlock() error {
	if d.err == nil && d.written {
		d.err = patiently(d.ctx, d.database.Busy, d.commit)
		if d.err == nil {
			return nil
		}
		d.err = fmt.Errorf("commit: %w", d.err)
	}
	d.rollback()
	return d.err
}

func (d *driver) Run(migration io.Reader) error {
	statements, err := io.ReadAll(migration) // to the end, for the goroutine that writes it
	if d.err != nil {
		return nil
	}
	if err == nil {
		err = d.exec(string(statements))
	}
	if err != nil {
		remains := "of which nothing remains"
		if _, ok := d.database.(Stepwise); ok {
			remains = "to be repeated"
		}
		d.err = fmt.Errorf("migrate, %s: %w", remains, err)
	}
	return nil
}

func (d *driver) SetVersion(version int, dirty bool) error {
	if d.err != nil {
		return nil
	}
	d.written = false
	if dirty {
		return nil
	}
	table := d.database.VersionTable()
	statements := fmt.Sprintf("DELETE FROM %s; INSERT INTO %s (version, dirty) VALUES (%d, false)", table, table, version)
	if version == database.NilVersion {
		statements = "DROP TABLE IF EXISTS " + table // it went with the others on a Stepwise database
	}
	if err := d.exec(statements); err != nil {
		d.err = fmt.Errorf("write the schema's version: %w", err)
		return nil
	}
	d.written = true
	return nil
}

func (d *driver) Version() (version int, dirty bool, err error) {
	version, dirty, err = readVersion(d.ctx, d.conn, d.database.VersionTable())
	if err == nil && !dirty && version > d.latest {
		return version, dirty, fmt.Errorf("%w: version %d", errNewer, version)
	}
	return version, dirty, err
}

func (d *driver) exec(statements string) error {
	if s, ok := d.database.(Stepwise); ok {
		return s.Run(d.ctx, d.conn, statements)
	}
	_, err := d.conn.ExecContext(d.ctx, statements)
	return err
}

func (d *driver) commit() error {
	if s, ok := d.database.(Stepwise); ok {
		return s.End(d.ctx, d.conn)
	}
	return d.exec("COMMIT")
}

func (d *driver) rollback() {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(d.ctx), rollbackTimeout)
	defer cancel()
	if s, ok := d.database.(Stepwise); ok {
		_ = s.End(ctx, d.conn) // the error that led here says more
		return
	}
	if _, err := d.conn.ExecContext(ctx, "ROLLBACK"); err != nil {
		// Nobody may get this connection from the pool again. Closing it rolls back.
		_ = d.conn.Raw(func(any) error { return sqldriver.ErrBadConn })
	}
}

// Close does nothing: the connection is the caller's.
func (d *driver) Close() error { return nil }

var errNotOffered = errors.New("not offered: this driver serves the toolkit's own schema only")

func (d *driver) Open(string) (database.Driver, error) { return nil, errNotOffered }

func (d *driver) Drop() error { return errNotOffered }
