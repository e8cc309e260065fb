package mysql

import (
	"context"
	"database/sql"
	"errors"
	"math/rand/v2"
	"strings"
	"time"
)

// statement is one of the folder sql. Of those that return rows, and of no others, row is called for each; it is not nil there.
type statement struct {
	name string
	args []any
	row  func(*sql.Rows) error
}

// attempts is how often a transaction is tried that ends with a deadlock, or in a lock wait that took too long.
const attempts = 5

// transact sends a transaction, and what is to run after its commit, in one round trip where it may: while it holds locks nothing waits for
// the network, nor for this process. It may call tx again: what that gathers from rows begins anew each time.
func (t *TableBackend) transact(ctx context.Context, doing string, p pool, tx func() []statement, after ...statement) error {
	for try := 1; ; try++ {
		batch := append(append([]statement{{name: "begin"}}, tx()...), statement{name: "commit"})
		err := p.use(ctx, func(conn *sql.Conn) error { return t.send(ctx, conn, append(batch, after...)) })
		if !passing(err) || try == attempts {
			return t.explain(doing, err)
		}
		select {
		case <-time.After(rand.N(time.Millisecond << try)):
		case <-ctx.Done():
			return t.explain(doing, err)
		}
	}
}

// run sends statements that need no transaction around them.
func (t *TableBackend) run(ctx context.Context, doing string, p pool, batch ...statement) error {
	return t.explain(doing, p.use(ctx, func(conn *sql.Conn) error { return t.send(ctx, conn, batch) }))
}

// errCut says that an answer is shorter than it should be, which would pass unnoticed.
var errCut = errors.New("the server has not answered every statement")

// send runs a batch in one round trip, but not on a node of a Galera cluster: there a transaction that another node has got ahead of is rolled back
// between two statements of one packet without an error, and what is left of the packet is carried out, each statement for itself. Of
// 24,000 packets of a test 500 were torn like that. One statement at a time, the next one fails.
func (t *TableBackend) send(ctx context.Context, conn *sql.Conn, batch []statement) error {
	if !t.galera.Load() {
		return t.sendPacket(ctx, conn, batch)
	}
	for i, st := range batch {
		if err := t.sendPacket(ctx, conn, []statement{st}); err != nil {
			if i > 0 {
				err = midway(err)
			}
			return err
		}
	}
	return nil
}

func (t *TableBackend) sendPacket(ctx context.Context, conn *sql.Conn, batch []statement) error {
	var text strings.Builder
	var args []any
	for i, st := range batch {
		if i > 0 {
			text.WriteString("; ")
		}
		text.WriteString(t.sql[st.name])
		args = append(args, st.args...)
	}
	rows, err := conn.QueryContext(ctx, text.String(), args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	return receive(rows, batch)
}

// receive reads the rows of those that return some; the driver passes over the others, and reports the error of any.
func receive(rows *sql.Rows, batch []statement) error {
	more := true
	for _, st := range batch {
		if st.row == nil {
			continue
		}
		if !more {
			return errors.Join(errCut, rows.Err())
		}
		for rows.Next() {
			if err := st.row(rows); err != nil {
				return err
			}
		}
		more = rows.NextResultSet()
	}
	return rows.Err()
}

// into scans a statement's only row.
func into(to ...any) func(*sql.Rows) error {
	return func(r *sql.Rows) error { return r.Scan(to...) }
}
