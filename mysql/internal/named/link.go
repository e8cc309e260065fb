package named

import (
	"bytes"
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/sqllock/toolkit/sqllock"
)

// link is one connection: the carrier of many locks, or one that waits for a single lock and then holds it. What is asked of it goes there in
// batches, one after the other.
type link struct {
	conn driver.Conn
	wire *wire
	id   uint64 // of the session, as the server counts; it begins anew when it restarts
	// marker is a user lock that the session holds for as long as it lives, and nobody else ever asks for.
	marker string
	// signature is a comment that says who we are, for those who read process lists.
	signature string
	clock     sqllock.Clock
	limit     time.Duration // of silence

	// heard is when the last question that has been answered was sent: the server counts its timeout from then, or later.
	heard atomic.Int64
	dead  atomic.Pointer[error]

	// Guarded by the session's mutex.
	queue    []*op
	flying   *batch
	held     int           // so many keys
	entry    *entry        // which it waits for
	killed   bool          // it is to wait no longer
	killing  bool          // and is being told
	doubted  int           // how often what it waits for was seen free
	watching bool          // the end of the session is waited for, or soon will be
	used     time.Duration // when the last answer came
	served   time.Duration // when somebody last wanted something of it
	inquired time.Duration // when it was last asked whether all is well
	trips    time.Duration // what one takes, on average
}

// The reasons of losses.
var (
	errSilent  = errors.New("the server has not answered for too long")
	errAnother = errors.New("the connection leads to another session now: something between us and the server shares connections")
)

// err is nil while the server has answered lately; it reads the clock.
func (l *link) err() error {
	if dead := l.dead.Load(); dead != nil {
		return *dead
	}
	if l.silence() < l.limit {
		return nil
	}
	return l.fail(errSilent)
}

func (l *link) silence() time.Duration { return l.clock.Now() - time.Duration(l.heard.Load()) }

// fail says that nothing can be held here any more. The first reason counts. The connection is closed by [Session.end].
func (l *link) fail(reason error) error {
	l.dead.CompareAndSwap(nil, &reason)
	return *l.dead.Load()
}

// ask sends one statement and returns the one value that it answers with. It ends when the wire is closed, and by nothing else: a context would
// have the driver close the connection, and with it all that others hold here.
func (l *link) ask(sql string) ([]byte, error) {
	rows, err := l.conn.(driver.QueryerContext).QueryContext(context.Background(), sql, nil)
	if err != nil {
		return nil, err
	}
	var value [1]driver.Value
	if err = columns(rows, len(value)); err == nil {
		err = rows.Next(value[:])
	}
	if text, ok := value[0].([]byte); ok {
		value[0] = bytes.Clone(text) // the driver's own memory
	}
	if closeErr := rows.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		if errors.Is(err, io.EOF) {
			err = errors.New("the server has answered with no row")
		}
		return nil, err
	}
	switch v := value[0].(type) {
	case nil:
		return nil, nil
	case int64:
		return strconv.AppendInt(nil, v, 10), nil
	case uint64:
		return strconv.AppendUint(nil, v, 10), nil
	case []byte:
		return v, nil
	case string:
		return []byte(v), nil
	default:
		return nil, fmt.Errorf("the server has answered with %T", v)
	}
}

// columns is an error if the answer has another number of columns than was asked for: it is to somebody else's question, and to read it as the
// answer to ours would have the driver panic.
func columns(rows driver.Rows, n int) error {
	if got := len(rows.Columns()); got != n {
		return fmt.Errorf("the server has answered with %d columns where %d were asked for", got, n)
	}
	return nil
}

// tell sends one statement that answers with no value.
func (l *link) tell(sql string) error {
	_, err := l.conn.(driver.ExecerContext).ExecContext(context.Background(), sql, nil)
	return err
}

// waits tells whether it waits in the server, which answers only when that ends.
func (l *link) waits() bool { return l.flying != nil && l.flying.ops[0].kind == park }

// open tells whether the connection has survived an error: the last that the server says may be the reason for which it ends the session.
func (l *link) open() bool { return l.conn.(driver.Validator).IsValid() }

// idle tells whether nothing is on its way.
func (l *link) idle() bool { return l.flying == nil && len(l.queue) == 0 }
