package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"

	"github.com/spf13/cobra"

	"github.com/sqllock/toolkit/sqllock"
)

// cli is one run of the program.
type cli struct {
	stdin, stdout, stderr *os.File  // what commands get
	messages              *messages // what we say on stderr
	target                target
	verbose               bool
}

// run runs the program and returns its exit code.
func run(args []string, stdin, stdout, stderr *os.File) int {
	c := &cli{stdin: stdin, stdout: stdout, stderr: stderr, messages: &messages{file: stderr}}
	defer c.messages.flush()
	root := c.root()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(c.messages)
	err := root.ExecuteContext(context.Background())
	if err == nil {
		return 0
	}
	if line := redact(oneLine(err.Error())); line != "" {
		_, _ = fmt.Fprintln(c.messages, line)
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
	c.target.register(root.PersistentFlags())
	root.PersistentFlags().BoolVarP(&c.verbose, "verbose", "v", false, "say on stderr what happens to the lock")
	root.AddCommand(c.execCommand(), c.electCommand(), c.migrateCommand())
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
	_, _ = fmt.Fprintln(c.messages, redact(oneLine(fmt.Sprintf(format, args...))))
}

// logger writes what happens in the background, if anybody wants to know.
func (c *cli) logger() sqllock.ClientOption {
	if !c.verbose {
		return sqllock.Logger(slog.New(slog.DiscardHandler))
	}
	return sqllock.Logger(slog.New(slog.NewTextHandler(redacting{c.messages}, nil)))
}
