package mysql_test

import (
	"context"
	"testing"

	driver "github.com/go-sql-driver/mysql"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sqllock/toolkit/internal/testdb"
	migrations "github.com/sqllock/toolkit/migrations/mysql"
	"github.com/sqllock/toolkit/mysql"
	"github.com/sqllock/toolkit/sqllock"
)

func TestInvalidConfigurationsNeedNoDatabase(t *testing.T) {
	t.Parallel()
	for what, table := range map[string]*mysql.TableBackend{
		"nil":                mysql.Table(nil),
		"no database":        mysql.Table(driver.NewConfig()),
		"not a database":     mysql.Table(&driver.Config{DBName: "d"}, mysql.Database("a\x00b")),
		"unknown TLS config": mysql.Table(&driver.Config{DBName: "d", TLSConfig: "nobody registered this"}),
		"unknown network":    mysql.Table(&driver.Config{DBName: "d", Net: "carrier pigeon"}),
		"poll":               mysql.Table(&driver.Config{DBName: "d"}, mysql.Poll(0)),
	} {
		locks := sqllock.New(table)
		_, err := locks.TryAcquire(t.Context(), "n")
		assert.ErrorIs(t, err, sqllock.ErrInvalid, what)
		_, err = table.Purge(t.Context(), 0)
		assert.ErrorIs(t, err, sqllock.ErrInvalid, what)
		assert.NoError(t, locks.Close(t.Context()), what)
		assert.NoError(t, table.Close(t.Context()), what)
	}
}

func TestMissingTablesAreAnErrorThatNamesTheCommand(t *testing.T) {
	t.Parallel()
	cfg := testdb.MySQL(t)
	locks := sqllock.New(mysql.Table(cfg))
	defer func() { assert.NoError(t, locks.Close(context.Background())) }()
	_, err := locks.TryAcquire(t.Context(), "n")
	for _, err := range []error{locks.Ping(t.Context()), err} {
		require.ErrorIs(t, err, sqllock.ErrSchema)
		require.NotErrorIs(t, err, sqllock.ErrNotAcquired)
		require.ErrorContains(t, err, "sqllock migrate up")
	}
	migrate(t, cfg)
	require.NoError(t, locks.Ping(t.Context()))
}

func TestTablesOfTheFutureAreRefusedUnlessTheyServeUs(t *testing.T) {
	t.Parallel()
	p := lease(t, tables(t))
	p.exec(t, "INSERT INTO sqllock_schema_version VALUES (1000, false)")
	require.NoError(t, p.client.Ping(t.Context()))

	p.exec(t, "UPDATE sqllock_meta SET oldest_reader = 1000")
	err := p.client.Ping(t.Context())
	require.ErrorIs(t, err, sqllock.ErrSchema)
	require.ErrorContains(t, err, "of version 1000 and need a newer build of this program; this one knows version 1")
}

func TestTablesAreFoundInTheirDatabase(t *testing.T) {
	t.Parallel()
	elsewhere := testdb.MySQL(t)
	odd := "odd `" + elsewhere.DBName + "`"
	admin := connect(t, elsewhere)
	quoted := "`odd ``" + elsewhere.DBName + "```"
	_, err := admin.ExecContext(t.Context(), "CREATE DATABASE "+quoted)
	require.NoError(t, err)
	defer func() {
		_, err := admin.ExecContext(context.Background(), "DROP DATABASE "+quoted)
		assert.NoError(t, err)
	}()
	p := lease(t, elsewhere, mysql.Database(odd))
	require.ErrorIs(t, p.client.Ping(t.Context()), sqllock.ErrSchema)
	require.NoError(t, migrations.Up(t.Context(), admin, migrations.Database(odd)))
	l, err := p.client.Acquire(t.Context(), "n")
	require.NoError(t, err)
	tx := p.begin(t, 0)
	require.NoError(t, p.table.Guard(t.Context(), tx, l), "the transaction is in another database of the same server")
	require.NoError(t, tx.Commit())
	require.NoError(t, l.Release(t.Context()))
	require.NoError(t, p.client.Close(t.Context()))
	require.NoError(t, p.table.Close(t.Context()))
}

func TestReadOnlyServerSaysSo(t *testing.T) {
	t.Parallel()
	server := testdb.StartMySQL(t)
	cfg := server.Config()
	migrate(t, cfg)
	admin := connect(t, cfg)
	for _, statement := range []string{
		"CREATE USER app@'%' IDENTIFIED BY 'app'", "GRANT ALL ON test.* TO app@'%'", "SET GLOBAL read_only = 1",
	} {
		_, err := admin.ExecContext(t.Context(), statement)
		require.NoError(t, err)
	}
	cfg.User, cfg.Passwd = "app", "app"
	locks := sqllock.New(mysql.Table(cfg))
	defer func() { assert.NoError(t, locks.Close(context.Background())) }()
	require.ErrorContains(t, locks.Ping(t.Context()), "the server is read-only, locks are kept on the primary")
	_, err := admin.ExecContext(t.Context(), "SET GLOBAL read_only = 0")
	require.NoError(t, err)
	require.NoError(t, locks.Ping(t.Context()))
}
