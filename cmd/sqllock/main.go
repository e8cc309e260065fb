package main

import (
	"os"

	"github.com/sqllock/toolkit/cmd/sqllock/internal/child"
)

func main() {
	child.RunWatchdogIfAsked()
	os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}
