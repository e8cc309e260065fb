package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"strings"

	"github.com/sqllock/toolkit/migrations/internal/lockschema"
)

// file is a SQLite file as lockschema sees it.
type file struct{}

var _ lockschema.Database = file{}

// VersionTable names the file itself: a temporary table or an attached file does not count.
func (file) VersionTable() string { return "main." + lockschema.VersionTable }

func (file) Begin(ctx context.Context, conn *sql.Conn) error {
	_, err := conn.ExecContext(ctx, "BEGIN IMMEDIATE")
	return err
}

// Busy looks for SQLITE_BUSY, which the driver returns when the connection's busy_timeout, however short, is over. The method
// is that of modernc.org/sqlite, and spares the import.
func (file) Busy(err error) bool {
	const busy = 5
	var e interface{ Code() int }
	return errors.As(err, &e) && e.Code()&0xff == busy // the higher bits say in which way
}

// NoTable has only the text to go by: SQLite has no code for it.
func (f file) NoTable(err error) bool {
	return strings.Contains(err.Error(), "no such table: "+f.VersionTable())
}
