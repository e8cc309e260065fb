package testdb

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/go-sql-driver/mysql"
)

const envMySQL = "SQLLOCK_TEST_MYSQL"

// MySQL returns the driver's default configuration for a fresh, empty database,
// which is dropped when tb ends, whoever is still connected. The configuration is
// the caller's own, to change as it likes. The database is on a server, MySQL or
// MariaDB, that the tests of this process share: users, settings and named locks
// are out of bounds, unless their names are random, and so is killing it. See
// [StartMySQL].
//
// Without any MySQL or MariaDB the test fails; with -short it is skipped.
func MySQL(tb testing.TB) *mysql.Config {
	tb.Helper()
	skipIfShort(tb)
	server, err := sharedMySQL()
	if err != nil {
		tb.Fatal(err)
	}
	database := server.Clone()
	database.DBName = "sqllock_test_" + strings.ToLower(rand.Text())
	if err := createMySQLDatabase(server, database.DBName); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := dropMySQLDatabase(server, database.DBName); err != nil {
			tb.Error(err)
		}
	})
	return database.Clone()
}

// sharedMySQL finds or starts the server of this test process.
var sharedMySQL = sync.OnceValues(func() (*mysql.Config, error) {
	if dsn := os.Getenv(envMySQL); dsn != "" {
		return parseMySQLDSN(dsn)
	}
	programs, noPrograms := findMySQLPrograms()
	if noPrograms == nil {
		m, err := newMysqld(programs, nil)
		if err != nil {
			return nil, err
		}
		return m.config(), nil
	}
	if os.Getenv(envMySQLBin) != "" {
		return nil, fmt.Errorf("testdb: %w", noPrograms)
	}
	noEngine := containerEngine()
	if noEngine == nil {
		dsn, err := startContainer("mysql")
		if err != nil {
			return nil, err
		}
		return parseMySQLDSN(dsn)
	}
	return nil, fmt.Errorf(`testdb: this test needs a MySQL or MariaDB server, and there is none:
    %w
    %w
Any of these will do:
    the server's program: scripts/install-servers.sh installs MariaDB on Debian; elsewhere
        put mariadbd or mysqld on PATH, or its directory into %s
    a running server: %s=user:password@tcp(host:port)/,
        with a user who may create databases
    a container engine such as Docker
To leave out all tests that need a server: go test -short`,
		noPrograms, noEngine, envMySQLBin, envMySQL)
})

func parseMySQLDSN(dsn string) (*mysql.Config, error) {
	config, err := mysql.ParseDSN(dsn)
	if err != nil {
		// The address may contain a password, and so may the error.
		return nil, errors.New("testdb: the address of the MySQL server must have the form user:password@tcp(host:port)/")
	}
	return config, nil
}

func createMySQLDatabase(server *mysql.Config, name string) error {
	return onMySQL(server, func(ctx context.Context, conn *sql.Conn) error {
		if _, err := conn.ExecContext(ctx, "CREATE DATABASE "+name); err != nil {
			return fmt.Errorf("create database %s: %w", name, err)
		}
		return nil
	})
}

// dropMySQLDatabase ends the sessions that use the database, and tries again as
// long as some transaction keeps a table from being dropped: a pool that was still
// open may have put a new session in the place of the last.
func dropMySQLDatabase(server *mysql.Config, name string) error {
	return onMySQL(server, func(ctx context.Context, conn *sql.Conn) error {
		if _, err := conn.ExecContext(ctx, "SET SESSION lock_wait_timeout = 1"); err != nil {
			return err
		}
		for {
			if err := killMySQLSessions(ctx, conn, name); err != nil {
				return err
			}
			_, err := conn.ExecContext(ctx, "DROP DATABASE IF EXISTS "+name)
			if err == nil {
				return nil
			}
			if !isMySQLError(err, errLockWaitTimeout) {
				return fmt.Errorf("drop database %s: %w", name, err)
			}
		}
	})
}

// The numbers are the same on MySQL and MariaDB.
const (
	errNoSuchThread    = 1094
	errLockWaitTimeout = 1205
)

func isMySQLError(err error, number uint16) bool {
	var refusal *mysql.MySQLError
	return errors.As(err, &refusal) && refusal.Number == number
}

func killMySQLSessions(ctx context.Context, conn *sql.Conn, database string) error {
	rows, err := conn.QueryContext(ctx, "SELECT id FROM information_schema.processlist WHERE db = ?", database)
	if err != nil {
		return err
	}
	defer rows.Close()
	var ids []int64
	for rows.Next() {
		var id int64
		if err := rows.Scan(&id); err != nil {
			return err
		}
		ids = append(ids, id)
	}
	if err := rows.Err(); err != nil {
		return err
	}
	for _, id := range ids {
		if _, err := conn.ExecContext(ctx, fmt.Sprintf("KILL %d", id)); err != nil && !isMySQLError(err, errNoSuchThread) {
			return err
		}
	}
	return nil
}

// onMySQL lets do use a connection of its own.
func onMySQL(server *mysql.Config, do func(context.Context, *sql.Conn) error) error {
	// Not the test's own context: that one has ended when clean-up runs.
	ctx, cancel := context.WithTimeout(context.Background(), statementTimeout)
	defer cancel()
	connector, err := mysql.NewConnector(server)
	if err != nil {
		return fmt.Errorf("testdb: %w", err)
	}
	db := sql.OpenDB(connector)
	defer db.Close()
	conn, err := db.Conn(ctx)
	if err != nil {
		return fmt.Errorf("testdb: %w", err)
	}
	defer conn.Close()
	if err := do(ctx, conn); err != nil {
		return fmt.Errorf("testdb: MySQL at %s: %w", server.Addr, err)
	}
	return nil
}
