package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/spf13/cobra"

	"github.com/sqllock/toolkit/sqllock"
)

// cli is one run of the program.
type cli struct {
	stdin          *os.File
	stdout, stderr *os.File
	target         target
	namespace      string
	verbose        bool
}

// run runs the program and returns its exit code.
func run(args []string, stdin, stdout, stderr *os.File) int {
	c := &cli{stdin: stdin, stdout: stdout, stderr: stderr}
	root := c.root()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(context.Background())
	if err == nil {
		return 0
	}
	if line := oneLine(c.target.redact(err.Error())); line != "" {
		_, _ = fmt.Fprintln(stderr, line)
	}
	return exitCode(err)
}

func (c *cli) root() *cobra.Command {
	root := &cobra.Command{
		Use:           "sqllock",
		Short:         "Locks in the database that you already run",
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          noArgs,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	// Everything that cobra itself finds fault with is usage.
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usage(err) })
	flags := root.PersistentFlags()
	flags.StringVar(&c.target.dsn, "dsn", "", "database: postgres://…, sqlite:PATH (default $SQLLOCK_DSN, or a SQLite file in the state directory)")
	flags.StringVar(&c.target.dsnFile, "dsn-file", "", "file that holds the DSN")
	flags.StringVar(&c.target.schema, "schema", "public", "PostgreSQL schema of the toolkit's tables")
	flags.StringVar(&c.namespace, "namespace", "", "namespace of the lock's name")
	flags.BoolVarP(&c.verbose, "verbose", "v", false, "say on stderr what happens to the lock")
	root.AddCommand(c.execCommand(), c.migrateCommand())
	return root
}

// say tells what happens to whoever wants to know.
func (c *cli) say(format string, args ...any) {
	if c.verbose {
		c.warn(format, args...)
	}
}

// warn tells what nobody should miss.
func (c *cli) warn(format string, args ...any) {
	_, _ = fmt.Fprintln(c.stderr, oneLine(c.target.redact(fmt.Sprintf(format, args...))))
}

// logger writes what happens in the background, with the DSN's password blotted out.
func (c *cli) logger() sqllock.ClientOption {
	if !c.verbose {
		return sqllock.Logger(slog.New(slog.DiscardHandler))
	}
	return sqllock.Logger(slog.New(slog.NewTextHandler(redacting{c.stderr, &c.target}, nil)))
}

type redacting struct {
	w io.Writer
	t *target
}

func (r redacting) Write(p []byte) (int, error) {
	if _, err := io.WriteString(r.w, r.t.redact(string(p))); err != nil {
		return 0, err
	}
	return len(p), nil
}
