//go:build linux

package torture

import (
	"context"
	"database/sql"
	dbdriver "database/sql/driver"
	"fmt"
	"net/url"
	"path/filepath"
	"testing"
	"time"

	driver "github.com/go-sql-driver/mysql"
	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
	"github.com/stretchr/testify/require"

	"github.com/sqllock/toolkit/internal/testdb"
	mysqlschema "github.com/sqllock/toolkit/migrations/mysql"
	postgresschema "github.com/sqllock/toolkit/migrations/postgres"
	sqliteschema "github.com/sqllock/toolkit/migrations/sqlite"
)

// machine is a database server that can be broken.
type machine interface {
	Kill()
	Stop()
	Start()
	Pause()
	Resume()
	JumpClock(ahead time.Duration)
	Dir() string
}

// connections is how many a server takes, so that they can be used up.
const connections = 90

// server is the database of one round.
type server struct {
	kind    string
	machine machine // nil: SQLite
	address string
	dsn     func(address string) string
	admin   *sql.DB // not through a proxy
}

// startServer makes a database with the toolkit's tables and the register.
func startServer(tb testing.TB, kind, dir string, names []name) *server {
	s := &server{kind: kind}
	var err error
	switch kind {
	case postgresAdvisory, postgresTable:
		m := testdb.StartPostgresWithClock(tb, fmt.Sprintf("max_connections=%d", connections))
		u, perr := url.Parse(m.DSN())
		require.NoError(tb, perr)
		s.machine, s.address = m, u.Host
		s.dsn = func(address string) string {
			there := *u
			there.Host = address
			return there.String()
		}
		s.admin, err = sql.Open("pgx", m.DSN())
	case mysqlNamed, mysqlTable:
		m := testdb.StartMySQLWithClock(tb, fmt.Sprintf("max-connections=%d", connections))
		cfg := m.Config()
		s.machine, s.address = m, cfg.Addr
		s.dsn = func(address string) string {
			there := cfg.Clone()
			there.Addr = address
			return there.FormatDSN()
		}
		here := cfg.Clone()
		here.Logger = &driver.NopLogger{}
		var connector dbdriver.Connector
		connector, err = driver.NewConnector(here)
		require.NoError(tb, err)
		s.admin = sql.OpenDB(connector)
	case sqliteTable:
		path := filepath.Join(dir, "torture.db")
		s.dsn = func(string) string { return path }
		s.admin, err = sql.Open("sqlite", sqliteDSN(path))
	}
	require.NoError(tb, err)
	tb.Cleanup(func() { _ = s.admin.Close() })
	ctx := tb.Context()
	switch kind {
	case postgresAdvisory, postgresTable:
		err = postgresschema.Up(ctx, s.admin)
	case mysqlNamed, mysqlTable:
		err = mysqlschema.Up(ctx, s.admin)
	case sqliteTable:
		err = sqliteschema.Up(ctx, s.admin)
	}
	require.NoError(tb, err)
	for _, table := range registerTables {
		_, err := s.admin.ExecContext(ctx, table)
		require.NoError(tb, err)
	}
	for _, n := range names {
		_, err := s.admin.ExecContext(ctx, fmt.Sprintf("INSERT INTO register VALUES (%d, 0, 0)", n.ID))
		require.NoError(tb, err)
	}
	return s
}

// sessions lists the connections of clients.
func (s *server) sessions(ctx context.Context) (ids []int64, err error) {
	query := "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() ORDER BY pid"
	if s.mysql() {
		query = "SELECT id FROM information_schema.processlist WHERE db = DATABASE() AND id <> CONNECTION_ID() ORDER BY id"
	}
	rows, err := s.admin.QueryContext(ctx, query)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var id int64
		if err := rows.Scan(&id); err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	return ids, rows.Err()
}

func (s *server) mysql() bool { return s.kind == mysqlNamed || s.kind == mysqlTable }

// do runs a statement of an administrator, who does not wait for long.
func (s *server) do(statement string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	_, err := s.admin.ExecContext(ctx, statement)
	return err
}
