package testdb

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

const envPostgres = "SQLLOCK_TEST_POSTGRES"

// statementTimeout bounds what this package itself asks of a server.
const statementTimeout = time.Minute

// Postgres returns the postgres:// URL of a fresh, empty database, which is
// dropped when tb ends, whoever is still connected. The database is on a server
// that the tests of this process share: roles, settings and advisory locks of
// other databases are out of bounds, and so is killing it. See [StartPostgres].
//
// Without any PostgreSQL the test fails; with -short it is skipped.
func Postgres(tb testing.TB) string {
	tb.Helper()
	skipIfShort(tb)
	server, err := sharedPostgres()
	if err != nil {
		tb.Fatal(err)
	}
	// On somebody's own server, names of several processes come together.
	name := "sqllock_test_" + strings.ToLower(rand.Text())
	// To template1 somebody may be connected, and it would be copied with all that
	// its owner has put there.
	if err := execOn(server, "CREATE DATABASE "+name+" TEMPLATE template0"); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := execOn(server, "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)"); err != nil {
			tb.Error(err)
		}
	})
	database := *server
	database.Path = "/" + name
	return database.String()
}

// sharedPostgres finds or starts the server of this test process.
var sharedPostgres = sync.OnceValues(func() (*url.URL, error) {
	dsn, err := sharedPostgresDSN()
	if err != nil {
		return nil, err
	}
	server, err := url.Parse(dsn)
	if err != nil || server.Scheme != "postgres" && server.Scheme != "postgresql" {
		// The URL may contain a password, and so may the error of url.Parse.
		return nil, errors.New("testdb: the address of the PostgreSQL server must have the form postgres://user:password@host:port/database")
	}
	return server, nil
})

func sharedPostgresDSN() (string, error) {
	if dsn := os.Getenv(envPostgres); dsn != "" {
		return dsn, nil
	}
	bin, noPrograms := postgresPrograms()
	if noPrograms == nil {
		p, err := newPostmaster(bin, nil)
		if err != nil {
			return "", err
		}
		return p.dsn(), nil
	}
	if os.Getenv(envPostgresBin) != "" {
		return "", fmt.Errorf("testdb: %w", noPrograms)
	}
	noEngine := containerEngine()
	if noEngine == nil {
		return startContainer("postgres")
	}
	return "", fmt.Errorf(`testdb: this test needs a PostgreSQL server, and there is none:
    %w
    %w
Any of these will do:
    the server's programs: scripts/install-servers.sh installs them on Debian; elsewhere
        put initdb and postgres on PATH, or their directory into %s
    a running server: %s=postgres://user:password@host:port/database,
        with a user who may create databases
    a container engine such as Docker
To leave out all tests that need a server: go test -short`,
		noPrograms, noEngine, envPostgresBin, envPostgres)
}

// execOn executes one statement on a connection of its own.
func execOn(server *url.URL, sql string) error {
	// Not the test's own context: that one has ended when clean-up runs.
	ctx, cancel := context.WithTimeout(context.Background(), statementTimeout)
	defer cancel()
	conn, err := pgx.Connect(ctx, server.String())
	if err != nil {
		return fmt.Errorf("testdb: %w", err)
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, sql); err != nil {
		return fmt.Errorf("testdb: %s: %w", sql, err)
	}
	return nil
}
