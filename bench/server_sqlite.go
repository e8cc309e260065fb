package main

import (
	"context"
	"database/sql"
	"path/filepath"

	migrations "github.com/sqllock/toolkit/migrations/sqlite"
)

// startSQLite makes a file, which is all that there is to start.
func startSQLite(ctx context.Context, l *lab) (*server, error) {
	file := filepath.Join(l.data, "locks.db")
	db, err := openSQLite(file)
	if err != nil {
		return nil, err
	}
	defer db.Close()
	if err := migrations.Up(ctx, db); err != nil {
		return nil, err
	}
	if _, err := db.ExecContext(ctx, text("sqlite_tables")); err != nil {
		return nil, err
	}
	s := &server{address: file, durability: "grants are on disk (synchronous=FULL); releases and renewals may be undone by a crash of the machine, which ends all who could mind"}
	return s, db.QueryRowContext(ctx, "SELECT 'SQLite ' || sqlite_version()").Scan(&s.version)
}

// openSQLite opens the file as the toolkit does, but with more patience.
func openSQLite(file string) (*sql.DB, error) {
	return sql.Open("sqlite", "file:"+file+"?_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_txlock=immediate")
}
