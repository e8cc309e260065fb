package mysql

import (
	"context"
	"database/sql"
	"fmt"
	"strconv"
	"strings"

	"github.com/sqllock/toolkit/sqllock"
)

// schemaVersion is the version of the schema that this package was written for, and readsSince the oldest that it can use.
const (
	schemaVersion = 1
	readsSince    = 1
)

// check finds out whether locks can be kept here, and whether a commit is on disk when the server says so.
func (t *TableBackend) check(ctx context.Context, p pool) (durable bool, err error) {
	var server string
	var flush int
	if err := t.run(ctx, "connect", p, statement{"server", nil, into(&server, &flush)}); err != nil {
		return false, err
	}
	if err := tooOld(server); err != nil {
		return false, err
	}
	if err := t.run(ctx, "connect", p, statement{"galera", nil, func(*sql.Rows) error {
		t.galera.Store(true)
		return nil
	}}); err != nil {
		return false, err
	}
	var version, oldestReader sql.NullInt64
	err = t.run(ctx, "check schema", p, statement{"schema", nil, into(&version, &oldestReader)}, statement{name: "probe"})
	switch {
	case err != nil:
		return false, err
	case !version.Valid || !oldestReader.Valid || version.Int64 < readsSince:
		return false, fmt.Errorf("mysql: %w: the tables in database %s are older than version %d; run `sqllock migrate up` or migrations/mysql.Up",
			sqllock.ErrSchema, t.opts.database, readsSince)
	case oldestReader.Int64 > schemaVersion:
		return false, fmt.Errorf("mysql: %w: the tables in database %s are of version %d and need a newer build of this program; this one knows version %d",
			sqllock.ErrSchema, t.opts.database, version.Int64, schemaVersion)
	}
	return flush == 1, nil
}

// tooOld is an error if a server of this version lacks what the statements need: SKIP LOCKED, and JSON_TABLE.
func tooOld(server string) error {
	name, oldest := "MySQL", [2]int{8, 0}
	version := server
	switch {
	case strings.Contains(server, "TiDB"):
		return fmt.Errorf("mysql: %w: this is TiDB (%s), which has no SKIP LOCKED", sqllock.ErrRefused, server)
	case strings.Contains(server, "MariaDB"):
		name, oldest = "MariaDB", [2]int{10, 6}
		version = strings.TrimPrefix(server, "5.5.5-") // which some put in front, for clients of long ago
	}
	major, rest, _ := strings.Cut(version, ".")
	minor, _, _ := strings.Cut(rest, ".")
	m, err := strconv.Atoi(major)
	n, minorErr := strconv.Atoi(minor)
	if err == nil && minorErr == nil && (m > oldest[0] || m == oldest[0] && n >= oldest[1]) {
		return nil
	}
	return fmt.Errorf("mysql: %w: %s %s is too old to keep leases safely; it takes %s %d.%d or later",
		sqllock.ErrRefused, name, server, name, oldest[0], oldest[1])
}
