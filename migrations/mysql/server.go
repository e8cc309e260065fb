package mysql

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"strings"

	"github.com/go-sql-driver/mysql"

	"github.com/sqllock/toolkit/migrations/internal/lockschema"
)

// lockName is the user lock that excludes migrators.
const lockName = "sqllock_schema_version"

// errHeld says that somebody else has the lock.
var errHeld = errors.New("another connection has the user lock of the migrations")

// Error numbers of the server.
const (
	accessDeniedToDatabase = 1044
	noDatabaseSelected     = 1046
	unknownDatabase        = 1049
	accessDeniedToTable    = 1142
	noSuchTable            = 1146
)

// server is MySQL or MariaDB as lockschema sees it.
type server struct{ database string }

var _ lockschema.Stepwise = server{}

func (s server) VersionTable() string {
	if s.database == "" {
		return lockschema.VersionTable
	}
	return quote(s.database) + "." + lockschema.VersionTable
}

func (s server) Busy(err error) bool { return errors.Is(err, errHeld) }

// NoTable includes a database that does not exist, in which there is no table either.
func (s server) NoTable(err error) bool {
	return number(err) == noSuchTable || number(err) == unknownDatabase
}

func (s server) Begin(ctx context.Context, conn *sql.Conn) error {
	var locked sql.NullBool
	if err := conn.QueryRowContext(ctx, "SELECT GET_LOCK('"+lockName+"', 0)").Scan(&locked); err != nil {
		return err
	}
	if !locked.Bool {
		return errHeld
	}
	settings := []string{
		"SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION', autocommit = 1",
		"SET SESSION /*!80000 max_execution_time = 0, */ /*M!100100 max_statement_time = 0, */ sql_safe_updates = 0",
	}
	if s.database != "" {
		settings = append(settings, "USE "+quote(s.database))
	}
	for _, statement := range settings {
		if _, err := conn.ExecContext(ctx, statement); err != nil {
			return err
		}
	}
	return nil
}

// Run implements [lockschema.Stepwise]. There is no semicolon in a string or a comment of the files.
func (s server) Run(ctx context.Context, conn *sql.Conn, statements string) error {
	var code strings.Builder
	for line := range strings.Lines(statements) {
		text, _, _ := strings.Cut(line, "--")
		code.WriteString(text + "\n")
	}
	for statement := range strings.SplitSeq(code.String(), ";") {
		if statement = strings.TrimSpace(statement); statement == "" {
			continue
		}
		if _, err := conn.ExecContext(ctx, statement); err != nil {
			return err
		}
	}
	return nil
}

// End gives back the lock, and closes the connection: its settings, and the database it is in, are nobody else's business.
func (s server) End(ctx context.Context, conn *sql.Conn) error {
	_, err := conn.ExecContext(ctx, "DO RELEASE_LOCK('"+lockName+"')")
	_ = conn.Raw(func(any) error { return driver.ErrBadConn })
	return err
}

func quote(identifier string) string { return "`" + strings.ReplaceAll(identifier, "`", "``") + "`" }

func number(err error) uint16 {
	var e *mysql.MySQLError
	if errors.As(err, &e) {
		return e.Number
	}
	return 0
}
