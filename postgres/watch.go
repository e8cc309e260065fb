package postgres

import (
	"context"
	"log/slog"
	"maps"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/sqllock/toolkit/internal/lease"
)

// watch is the connection that renews and listens. Between renewals it sits in WaitForNotification; who renews interrupts it, which
// costs microseconds and loses no notification: they stay in the connection's buffer.
type watch struct {
	conn   *conn
	epochs string // the statement

	mu        sync.Mutex
	renewers  int
	quiet     chan struct{}       // closed when there is no renewer any more
	interrupt *context.CancelFunc // ends the listener's turn; nil while nobody listens

	noticesCrash atomic.Bool // there is a connection whose end leads to [lease.Events.Interrupted]

	// Of the goroutine that listens.
	listening *pgx.Conn // the connection that the LISTENs were sent on
	channels  map[lease.SessionID]bool
}

func newWatch(pool *pgxpool.Pool, sql statements) *watch {
	return &watch{conn: newConn(pool), epochs: sql["epochs"]}
}

// interrupting runs f, which uses the connection, before the listener waits again.
func (w *watch) interrupting(f func(*conn) error) error {
	w.mu.Lock()
	if w.renewers++; w.renewers == 1 {
		w.quiet = make(chan struct{})
	}
	if w.interrupt != nil {
		(*w.interrupt)()
	}
	w.mu.Unlock()
	defer func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.renewers--; w.renewers == 0 {
			close(w.quiet)
		}
	}()
	return f(w.conn)
}

// Watch implements [lease.Store] by LISTEN on one channel for each session.
func (s *store) Watch(ctx context.Context, events lease.Events) {
	if s.opts.noListen {
		return
	}
	const shortest, longest = 10 * time.Millisecond, 2 * time.Second
	pause := shortest
	for ctx.Err() == nil {
		err := s.watch.listen(ctx, events)
		switch {
		case err == nil:
			pause = shortest
		case ctx.Err() == nil:
			s.log.Debug("sqllock: listening interrupted", slog.Any("error", err))
			select {
			case <-time.After(pause):
			case <-ctx.Done():
			}
			pause = min(2*pause, longest)
		}
	}
}

// listen waits for one notification, and returns nil also when somebody wants to renew. Renewals come first: they end the waiting and the connecting at once,
// a subscription that is not answered after a grace.
func (w *watch) listen(ctx context.Context, events lease.Events) error {
	turn, cancel := context.WithCancel(ctx)
	defer cancel()
	w.mu.Lock()
	if w.renewers > 0 {
		quiet := w.quiet
		w.mu.Unlock()
		select {
		case <-quiet:
		case <-ctx.Done():
		}
		return nil
	}
	w.interrupt = &cancel
	w.mu.Unlock()
	defer func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.interrupt == &cancel {
			w.interrupt = nil
		}
	}()
	err := w.conn.use(turn, func(pg *pgx.Conn) error {
		ids, changed := events.Sessions()
		if err := withGrace(turn, func(ctx context.Context) error { return w.subscribe(ctx, pg, ids, events) }); err != nil {
			return err
		}
		go func() {
			select {
			case <-changed:
				cancel()
			case <-turn.Done():
			}
		}()
		n, err := pg.WaitForNotification(turn)
		if err == nil {
			deliver(n.Channel, n.Payload, events)
		}
		return err
	})
	if turn.Err() != nil {
		return nil
	}
	return err
}

// withGrace lets a statement that is under way when ctx ends have its answer. To give it up costs the connection, and a cancel request, which is another
// connection to the server and more than PgBouncer 1.18 survives (its issue 801).
func withGrace(ctx context.Context, f func(context.Context) error) error {
	const grace = 250 * time.Millisecond
	statement, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(grace, cancel) })()
	return f(statement)
}

// subscribe listens to the channels of ids and to no others, and then asks for what was pushed before.
func (w *watch) subscribe(ctx context.Context, pg *pgx.Conn, ids []lease.SessionID, events lease.Events) error {
	if w.listening != pg {
		if w.listening != nil {
			events.Interrupted()
		}
		w.listening, w.channels = pg, make(map[lease.SessionID]bool)
		w.noticesCrash.Store(true) // from here on, even if the LISTENs fail
	}
	wanted := make(map[lease.SessionID]bool, len(ids))
	for _, id := range ids {
		wanted[id] = true
	}
	if maps.Equal(wanted, w.channels) {
		return nil
	}
	// UNLISTEN is not needed for correctness: an ended session's channel is silent.
	batch := new(pgx.Batch)
	batch.Queue("unlisten *")
	for id := range wanted {
		batch.Queue("listen " + pgx.Identifier{channel(id)}.Sanitize())
	}
	if err := pg.SendBatch(ctx, batch).Close(); err != nil {
		return err
	}
	if err := w.catchUp(ctx, pg, ids, events); err != nil {
		return err
	}
	w.channels = wanted
	events.Watching()
	return nil
}

// catchUp tells the epochs of sessions. It is a transaction after the one that listens, which sees too little.
func (w *watch) catchUp(ctx context.Context, pg *pgx.Conn, ids []lease.SessionID, events lease.Events) error {
	rows, err := pg.Query(ctx, w.epochs, ids)
	if err != nil {
		return err
	}
	var id lease.SessionID
	var epoch int64
	_, err = pgx.ForEachRow(rows, []any{&id, &epoch}, func() error {
		events.Observed(id, epoch)
		return nil
	})
	return err
}

const channelPrefix = "sqllock_"

func channel(id lease.SessionID) string { return channelPrefix + strconv.FormatInt(int64(id), 10) }

// deliver reads a notification: w and a waiter's id, or e and the epoch of a session whose locks somebody has taken.
func deliver(channel, payload string, events lease.Events) {
	of, ours := strings.CutPrefix(channel, channelPrefix) // the application's AfterConnect may listen to others
	if payload == "" || !ours {
		return
	}
	id, err := strconv.ParseInt(of, 10, 64)
	if err != nil {
		return
	}
	n, err := strconv.ParseInt(payload[1:], 10, 64)
	if err != nil {
		return
	}
	switch payload[0] {
	case 'e':
		events.Observed(lease.SessionID(id), n)
	case 'w':
		events.Woken(n)
	}
}
