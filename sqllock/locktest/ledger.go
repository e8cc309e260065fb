package locktest

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/sqllock/toolkit/sqllock"
)

// ledger is the evidence that holders of a lock leave in the database while they hold it. Who is inside is counted there, where all
// processes can see it, and the tokens are written down in the order of the grants.
type ledger struct {
	db *sql.DB
	id int
}

// ledgers makes the table, with rows for the ids below n.
func (a *arena) ledgers(db *sql.DB, n int) []ledger {
	a.Helper()
	a.exec(db, `CREATE TABLE ledger (id INTEGER PRIMARY KEY, writers INTEGER NOT NULL, readers INTEGER NOT NULL, permits INTEGER NOT NULL,
		counter INTEGER NOT NULL, latest BIGINT NOT NULL, writer BIGINT NOT NULL)`)
	all := make([]ledger, n)
	for id := range n {
		a.exec(db, fmt.Sprintf("INSERT INTO ledger VALUES (%d, 0, 0, 0, 0, 0, 0)", id))
		all[id] = ledger{db, id}
	}
	return all
}

func (l ledger) exec(ctx context.Context, set string) error {
	_, err := l.db.ExecContext(ctx, fmt.Sprintf("UPDATE ledger SET %s WHERE id = %d", set, l.id))
	return err
}

func (l ledger) counter(ctx context.Context) (n int, err error) {
	err = l.db.QueryRowContext(ctx, fmt.Sprintf("SELECT counter FROM ledger WHERE id = %d", l.id)).Scan(&n)
	return n, err
}

// visit enters the ledger, looks who else is in, and leaves it. The counter of writers is read and written in two statements:
// whatever comes in between is lost.
func (l ledger) visit(ctx context.Context, mode sqllock.Mode, permits int, token int64) error {
	column := [...]string{sqllock.ModeExclusive: "writers", sqllock.ModeShared: "readers", sqllock.ModePermit: "permits"}[mode]
	if err := l.exec(ctx, fmt.Sprintf("%s = %s + 1", column, column)); err != nil {
		return err
	}
	var w, r, p, counter int
	var latest, writer int64
	query := fmt.Sprintf("SELECT writers, readers, permits, counter, latest, writer FROM ledger WHERE id = %d", l.id)
	if err := l.db.QueryRowContext(ctx, query).Scan(&w, &r, &p, &counter, &latest, &writer); err != nil {
		return err
	}
	alone := false
	switch mode {
	case sqllock.ModeExclusive:
		alone = w == 1 && r == 0 && p == 0
	case sqllock.ModeShared:
		alone = w == 0 && p == 0
	case sqllock.ModePermit:
		alone = w == 0 && r == 0 && p <= permits
	}
	if !alone {
		return fmt.Errorf("inside with a lock that is %v (%d permits): %d writers, %d readers, %d permits", mode, permits, w, r, p)
	}
	// A writer comes after everybody who has been here; others come after the last writer.
	if token != 0 && (token <= writer || mode == sqllock.ModeExclusive && token <= latest) {
		return fmt.Errorf("token %d (%v) was granted after %d, to a writer %d", token, mode, latest, writer)
	}
	if mode == sqllock.ModeExclusive {
		if err := l.exec(ctx, fmt.Sprintf("counter = %d, writer = %d", counter+1, token)); err != nil {
			return err
		}
	}
	if _, err := l.db.ExecContext(ctx, fmt.Sprintf("UPDATE ledger SET latest = %d WHERE id = %d AND latest < %d", token, l.id, token)); err != nil {
		return err
	}
	return l.exec(ctx, fmt.Sprintf("%s = %s - 1", column, column))
}
