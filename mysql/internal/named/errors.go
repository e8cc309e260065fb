package named

import (
	"errors"
	"fmt"

	"github.com/go-sql-driver/mysql"

	"github.com/sqllock/toolkit/sqllock"
)

// Error numbers, https://dev.mysql.com/doc/mysql-errors/en/server-error-reference.html and
// https://mariadb.com/kb/en/mariadb-error-codes/
const (
	accessDenied       = 1045
	databaseDenied     = 1044
	unknownDatabase    = 1049
	tooManyConnections = 1040
	tooManyOfUser      = 1203
	userLimitReached   = 1226
	noSuchTable        = 1146
	interrupted        = 1317 // by KILL QUERY
)

func number(err error) uint16 {
	var answer *mysql.MySQLError
	if !errors.As(err, &answer) {
		return 0
	}
	return answer.Number
}

// fromServer tells whether err is an answer of the server, after which the session may go on.
func fromServer(err error) bool { return number(err) != 0 }

// explain says what to do about an error of the server.
func explain(doing string, err error) error {
	switch number(err) {
	case tooManyConnections, tooManyOfUser, userLimitReached:
		return fmt.Errorf("mysql: %s: the server has no connection left for us; raise max_connections or the limits of the user, or use fewer: %w", doing, err)
	}
	return fmt.Errorf("mysql: %s: %w", doing, err)
}

// permanent tells whether waiting on is pointless.
func permanent(err error) bool {
	for _, sentinel := range []error{sqllock.ErrInvalid, sqllock.ErrRefused, sqllock.ErrSchema, sqllock.ErrUnsupported, sqllock.ErrClosed} {
		if errors.Is(err, sentinel) {
			return true
		}
	}
	switch number(err) {
	case accessDenied, databaseDenied, unknownDatabase, noSuchTable:
		return true
	}
	return false
}
