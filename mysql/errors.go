package mysql

import (
	"errors"
	"fmt"

	"github.com/go-sql-driver/mysql"

	"github.com/sqllock/toolkit/sqllock"
)

// Error numbers, https://dev.mysql.com/doc/mysql-errors/8.4/en/server-error-reference.html and
// https://mariadb.com/docs/server/reference/error-codes/mariadb-error-code-reference
const (
	recordChanged    = 1020 // MariaDB, innodb_snapshot_isolation
	tooManyConns     = 1040
	databaseDenied   = 1044
	unknownDatabase  = 1049
	unknownColumn    = 1054
	noSuchThread     = 1094
	tableDenied      = 1142
	columnDenied     = 1143
	noSuchTable      = 1146
	tooManyUserConns = 1203
	lockWaitTimeout  = 1205
	deadlock         = 1213
	userLimitReached = 1226
	readOnlyOption   = 1290 // read_only, super_read_only
	queryInterrupted = 1317
	statementBinlog  = 1665
	readOnlyTx       = 1792
	statementTimeout = 1969 // MariaDB, max_statement_time
	executionTimeout = 3024 // MySQL, max_execution_time
	readOnlyMode     = 1836 // innodb_read_only
)

func number(err error) uint16 {
	var e *mysql.MySQLError
	if errors.As(err, &e) {
		return e.Number
	}
	return 0
}

// passing tells whether a transaction was rolled back that may succeed when it is tried again. Galera's "error during COMMIT" (1180) says
// neither: that transaction may have been committed.
func passing(err error) bool {
	switch number(err) {
	case deadlock, lockWaitTimeout, recordChanged:
		return true
	}
	return false
}

// outrun tells whether other nodes of a cluster got ahead of each try of a transaction. They lock the row that we want, for as long as it takes
// to be certified, so this is no error: those who wait join the line, and are granted the lock there.
func (t *TableBackend) outrun(err error) bool { return t.galera.Load() && number(err) == deadlock }

// interrupted tells whether somebody, or a limit for all statements, has ended the statement.
func interrupted(err error) bool {
	switch number(err) {
	case queryInterrupted, statementTimeout, executionTimeout:
		return true
	}
	return false
}

// readOnly tells whether the server takes no writes: a replica, or a primary that was demoted.
func readOnly(err error) bool {
	switch number(err) {
	case readOnlyOption, readOnlyTx, readOnlyMode:
		return true
	}
	return false
}

// explain says whose error it is, and what mends it where that is known.
func (t *TableBackend) explain(doing string, err error) error {
	switch {
	case err == nil:
		return nil
	case readOnly(err):
		return fmt.Errorf("mysql: %s: the server is read-only, locks are kept on the primary: %w", doing, err)
	}
	switch number(err) {
	case noSuchTable, unknownColumn, unknownDatabase:
		return fmt.Errorf("mysql: %s: %w: %w; run `sqllock migrate up` or migrations/mysql.Up for database %s",
			doing, sqllock.ErrSchema, err, t.opts.database)
	case tooManyConns, tooManyUserConns, userLimitReached:
		return fmt.Errorf("mysql: %s: the server has no connection left for us; raise max_connections or the limits of the user, or use fewer: %w", doing, err)
	case statementBinlog:
		return fmt.Errorf("mysql: %s: %w: %w; set binlog_format to ROW or MIXED", doing, sqllock.ErrRefused, err)
	}
	return fmt.Errorf("mysql: %s: %w", doing, err)
}

// explainTx is explain for an error of the caller's transaction, which the server may have ended.
func (t *TableBackend) explainTx(doing string, err error) error {
	switch number(err) {
	case deadlock:
		err = fmt.Errorf("%w (the server has rolled the whole transaction back)", err)
	case recordChanged:
		err = fmt.Errorf("%w (the transaction has read data from before the lock was free, and is rolled back; lock first, use WithTx, or "+
			"begin it READ COMMITTED)", err)
	}
	return t.explain(doing, err)
}

// permanent tells whether trying again is pointless: syntax, privileges, passwords, values. Too many connections has the same SQLSTATE
// as a missing privilege.
func permanent(err error) bool {
	if errors.Is(err, sqllock.ErrSchema) || errors.Is(err, sqllock.ErrRefused) {
		return true
	}
	var e *mysql.MySQLError
	if !errors.As(err, &e) || e.Number == tooManyUserConns || e.Number == userLimitReached {
		return false
	}
	switch string(e.SQLState[:2]) {
	case "42", "28", "22", "3D":
		return true
	}
	return false
}
