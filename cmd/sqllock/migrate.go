package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	mysqlschema "github.com/sqllock/toolkit/migrations/mysql"
	postgresschema "github.com/sqllock/toolkit/migrations/postgres"
	sqliteschema "github.com/sqllock/toolkit/migrations/sqlite"
)

// schema is the toolkit's tables in one dialect.
type schema struct {
	latest  uint
	up      func(context.Context, *sql.DB) error
	down    func(context.Context, *sql.DB) error
	version func(context.Context, *sql.DB) (uint, error)
	text    func() string
}

func (t *target) schemas() map[string]schema {
	in := postgresschema.Schema(t.schema)
	return map[string]schema{
		dialectPostgres: {
			latest: postgresschema.Latest, text: postgresschema.SQL,
			up:      func(ctx context.Context, db *sql.DB) error { return postgresschema.Up(ctx, db, in) },
			down:    func(ctx context.Context, db *sql.DB) error { return postgresschema.Down(ctx, db, in) },
			version: func(ctx context.Context, db *sql.DB) (uint, error) { return postgresschema.Version(ctx, db, in) },
		},
		dialectMySQL: {
			latest: mysqlschema.Latest, text: mysqlschema.SQL,
			up:      func(ctx context.Context, db *sql.DB) error { return mysqlschema.Up(ctx, db) },
			down:    func(ctx context.Context, db *sql.DB) error { return mysqlschema.Down(ctx, db) },
			version: func(ctx context.Context, db *sql.DB) (uint, error) { return mysqlschema.Version(ctx, db) },
		},
		dialectSQLite: {
			latest: sqliteschema.Latest, text: sqliteschema.SQL,
			up: sqliteschema.Up, down: sqliteschema.Down, version: sqliteschema.Version,
		},
	}
}

func (c *cli) migrateCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "migrate",
		Short: "Install, show or remove the toolkit's tables",
		Args:  noArgs,
		RunE: func(*cobra.Command, []string) error {
			return usage(errors.New("migrate needs one of up, down, status, print"))
		},
	}
	var yes bool
	down := c.migration("down", "Remove the tables, and with them every lock that is kept there", false, func(ctx context.Context, s schema, db *sql.DB) error {
		if err := s.down(ctx, db); err != nil {
			return err
		}
		return c.print("removed\n")
	})
	down.PreRunE = func(*cobra.Command, []string) error {
		if !yes {
			return usage(errors.New("migrate down ends every lock of --backend table without telling its holder, and resets the tokens of all; add --yes if that is meant"))
		}
		return nil
	}
	down.Flags().BoolVar(&yes, "yes", false, "yes, end the locks that are kept there")

	var dialect string
	text := &cobra.Command{
		Use: "print", Short: "Print the tables as SQL", Args: noArgs,
		RunE: func(*cobra.Command, []string) error {
			if dialect == "" {
				db, err := c.target.database(c.warn)
				if err != nil {
					return err
				}
				dialect = db.dialect
			}
			s, ok := c.target.schemas()[dialect]
			if !ok {
				return usage(fmt.Errorf("--dialect %s is not known; it is postgres, mysql or sqlite", dialect))
			}
			return c.print("%s", s.text())
		},
	}
	text.Flags().StringVar(&dialect, "dialect", "", "postgres, mysql or sqlite (default: that of the DSN)")

	cmd.AddCommand(down, text,
		c.migration("up", "Install the tables, or bring them up to date", true, func(ctx context.Context, s schema, db *sql.DB) error {
			if err := s.up(ctx, db); err != nil {
				return err
			}
			return c.status(ctx, s, db)
		}),
		c.migration("status", "Show the version of the tables", false, c.status))
	return cmd
}

// migration is a subcommand that works on the database, which it makes if it is a file and create is true.
func (c *cli) migration(use, short string, create bool, do func(context.Context, schema, *sql.DB) error) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short, Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			target, err := c.target.database(c.warn)
			if err != nil {
				return err
			}
			db, err := target.open(create)
			if err != nil {
				return err
			}
			defer func() { _ = db.Close() }()
			return do(cmd.Context(), c.target.schemas()[target.dialect], db)
		},
	}
}

func (c *cli) status(ctx context.Context, s schema, db *sql.DB) error {
	version, err := s.version(ctx, db)
	if err != nil {
		return err
	}
	switch {
	case version == 0:
		return c.print("not installed; the latest version is %d\n", s.latest)
	case version < s.latest:
		return c.print("version %d; the latest version is %d\n", version, s.latest)
	default:
		return c.print("version %d, up to date\n", version)
	}
}

func (c *cli) print(format string, args ...any) error {
	_, err := fmt.Fprintf(c.stdout, format, args...)
	return err
}

func noArgs(cmd *cobra.Command, args []string) error {
	if err := cobra.NoArgs(cmd, args); err != nil {
		return usage(err)
	}
	return nil
}
