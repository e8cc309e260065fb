//go:build linux

package torture

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/sqllock/toolkit/sqllock"
)

// registerTables are the data that the locks protect: a value for each name, which writers read, and raise by one in a second
// statement, and a log of all that was written. Nothing in them keeps two writers from doing so at once: what comes in between is lost.
var registerTables = []string{
	"CREATE TABLE register (name INTEGER PRIMARY KEY, value BIGINT NOT NULL, token BIGINT NOT NULL)",
	`CREATE TABLE written (process INTEGER NOT NULL, tx INTEGER NOT NULL, name INTEGER NOT NULL, value BIGINT NOT NULL, token BIGINT NOT NULL,
		PRIMARY KEY (process, tx))`,
}

// visit is what a transaction does in the register between its guard and its commit.
type visit struct {
	process, tx, name int
	mode              sqllock.Mode
	token             int64
	work              time.Duration
	halfway           func() // is called between reading and writing
}

// run reads, works, and by a writer writes. It returns the value that it has read.
func (v visit) run(ctx context.Context, tx *sql.Tx) (value int64, err error) {
	if value, err = v.read(ctx, tx); err != nil {
		return 0, err
	}
	v.halfway()
	if err := pause(ctx, v.work); err != nil {
		return 0, err
	}
	wrote := int64(0)
	switch v.mode {
	case sqllock.ModeExclusive:
		wrote = value + 1
		query := fmt.Sprintf("UPDATE register SET value = %d, token = %d WHERE name = %d", wrote, v.token, v.name)
		if _, err := tx.ExecContext(ctx, query); err != nil {
			return 0, err
		}
	case sqllock.ModeShared:
		again, err := v.read(ctx, tx)
		if err != nil {
			return 0, err
		}
		if again != value {
			return 0, errBesideAReader
		}
		return value, nil
	}
	_, err = tx.ExecContext(ctx, fmt.Sprintf("INSERT INTO written VALUES (%d, %d, %d, %d, %d)", v.process, v.tx, v.name, wrote, v.token))
	return value, err
}

// errBesideAReader is an alarm: the value has changed under a guarded reader.
var errBesideAReader = errors.New("torture: somebody has written beside a reader")

func (v visit) read(ctx context.Context, tx *sql.Tx) (value int64, err error) {
	err = tx.QueryRowContext(ctx, fmt.Sprintf("SELECT value FROM register WHERE name = %d", v.name)).Scan(&value)
	return value, err
}

// ledger is what the database has of it all in the end.
type ledger struct {
	Written []written
	Values  map[int]int64 // by name
}

// readRegister reads it.
func readRegister(ctx context.Context, db *sql.DB) (ledger, error) {
	l := ledger{Values: make(map[int]int64)}
	rows, err := db.QueryContext(ctx, "SELECT process, tx, name, value, token FROM written")
	if err != nil {
		return l, err
	}
	defer rows.Close()
	for rows.Next() {
		var w written
		if err := rows.Scan(&w.Process, &w.Tx, &w.Name, &w.Value, &w.Token); err != nil {
			return l, err
		}
		l.Written = append(l.Written, w)
	}
	if err := rows.Err(); err != nil {
		return l, err
	}
	registers, err := db.QueryContext(ctx, "SELECT name, value FROM register")
	if err != nil {
		return l, err
	}
	defer registers.Close()
	for registers.Next() {
		var name int
		var value int64
		if err := registers.Scan(&name, &value); err != nil {
			return l, err
		}
		l.Values[name] = value
	}
	return l, registers.Err()
}

// pause waits, but not longer than ctx.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
