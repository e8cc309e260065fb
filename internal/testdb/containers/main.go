// Command containers starts a database server in a container, prints its address
// on standard output, and ends the container when its standard input is closed.
// Package testdb runs it where a machine has a container engine and no server
// programs:
//
//	go run . postgres
//	go run . mysql
//
// It is a module of its own so that the library's users do not inherit the
// dependencies of testcontainers-go.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/testcontainers/testcontainers-go"
	"github.com/testcontainers/testcontainers-go/modules/mysql"
	"github.com/testcontainers/testcontainers-go/modules/postgres"
)

const (
	postgresImage = "postgres:17"
	mysqlImage    = "mysql:8.4"

	// startTimeout leaves time to pull the image.
	startTimeout = 5 * time.Minute
	stopTimeout  = 30 * time.Second
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "containers:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	start, ok := starters[strings.Join(args, " ")]
	if !ok {
		return errors.New("usage: containers postgres|mysql")
	}
	if err := preferLocalhost(); err != nil {
		return err
	}
	container, dsn, err := start()
	if container != nil {
		defer terminate(container)
	}
	if err != nil {
		return err
	}
	fmt.Println(dsn)
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

// preferLocalhost keeps testcontainers from taking a machine that has a
// /.dockerenv for a container and dialing its default gateway. It changes nothing
// for an engine that DOCKER_HOST places elsewhere.
func preferLocalhost() error {
	const hostOverride = "TESTCONTAINERS_HOST_OVERRIDE"
	if os.Getenv(hostOverride) != "" || os.Getenv("DOCKER_HOST") != "" {
		return nil
	}
	return os.Setenv(hostOverride, "localhost")
}

// starters may return a container to end together with an error.
var starters = map[string]func() (testcontainers.Container, string, error){
	"postgres": startPostgres,
	"mysql":    startMySQL,
}

func startPostgres() (testcontainers.Container, string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	container, err := postgres.Run(ctx, postgresImage,
		postgres.WithUsername("postgres"),
		postgres.WithPassword("postgres"),
		postgres.BasicWaitStrategies(),
		testcontainers.WithCmdArgs("-c", "max_connections=200"),
	)
	if container == nil { // not a nil container inside a non-nil interface
		return nil, "", err
	}
	if err != nil {
		return container, "", err
	}
	dsn, err := container.ConnectionString(ctx, "sslmode=disable")
	return container, dsn, err
}

func startMySQL() (testcontainers.Container, string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	container, err := mysql.Run(ctx, mysqlImage,
		mysql.WithUsername("root"),
		mysql.WithPassword("mysql"),
		testcontainers.WithCmdArgs("--max-connections=300"),
	)
	if container == nil { // not a nil container inside a non-nil interface
		return nil, "", err
	}
	if err != nil {
		return container, "", err
	}
	dsn, err := container.ConnectionString(ctx)
	return container, dsn, err
}

func terminate(container testcontainers.Container) {
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	if err := container.Terminate(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "containers:", err)
	}
}
