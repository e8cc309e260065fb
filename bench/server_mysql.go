package main

import (
	"context"
	"database/sql"
	"net"
	"strconv"
	"strings"

	"github.com/go-sql-driver/mysql"

	"github.com/sqllock/toolkit/internal/testdb"
	migrations "github.com/sqllock/toolkit/migrations/mysql"
)

// mysqlSettings undo what makes the servers of tests faster, and smaller.
var mysqlSettings = []string{
	"innodb-flush-log-at-trx-commit=1", "innodb-use-native-aio=1", "innodb-buffer-pool-size=128M", "loose-innodb-log-file-size=96M",
	"max-connections=" + strconv.Itoa(maxConnections),
}

func startMySQL(ctx context.Context, l *lab) (*server, error) {
	var cfg *mysql.Config
	if err := inBed(l, func(b *bed) { cfg = testdb.StartMySQL(b, mysqlSettings...).Config() }); err != nil {
		return nil, err
	}
	_, port, err := net.SplitHostPort(cfg.Addr)
	if err != nil {
		return nil, err
	}
	cfg.InterpolateParams = true // what careful people do: else every statement is prepared anew
	s := &server{address: cfg.FormatDSN(), durability: "is on disk: innodb_flush_log_at_trx_commit=1; no binary log"}
	if s.port, err = strconv.Atoi(port); err != nil {
		return nil, err
	}
	cfg.MultiStatements = true
	db, err := openMySQL(cfg.FormatDSN(), 2)
	if err != nil {
		return nil, err
	}
	l.cleanup(db.Close)
	if err := migrations.Up(ctx, db); err != nil {
		return nil, err
	}
	if _, err := db.ExecContext(ctx, text("mysql_tables")); err != nil {
		return nil, err
	}
	s.self = 1
	s.statements = func(ctx context.Context) (n int64, err error) {
		var name string
		return n, db.QueryRowContext(ctx, "SHOW GLOBAL STATUS LIKE 'Questions'").Scan(&name, &n)
	}
	s.snapshots = func(ctx context.Context) (n int64, err error) {
		return n, db.QueryRowContext(ctx, "SELECT count(*) FROM information_schema.innodb_trx").Scan(&n)
	}
	var version string
	if err := db.QueryRowContext(ctx, "SELECT version()").Scan(&version); err != nil {
		return nil, err
	}
	s.version = "MySQL " + version
	if number, _, maria := strings.Cut(version, "-MariaDB"); maria {
		s.version = "MariaDB " + number
	}
	return s, nil
}

func openMySQL(dsn string, conns int) (*sql.DB, error) {
	db, err := sql.Open("mysql", dsn)
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(conns)
	db.SetMaxIdleConns(conns)
	return db, nil
}
