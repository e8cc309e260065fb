package advisory

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/sqllock/toolkit/sqllock"
)

// link is one connection, used in both directions at once: whoever has something to ask writes, and whatever comes, be it an answer, a
// notification or the end, is read by one at a time. So a loss is seen when it happens, and nothing has to be interrupted to ask.
type link struct {
	session  *Session
	conn     net.Conn
	frontend *pgproto3.Frontend // for reading
	pid      uint32
	nonce    pair // locked for as long as the session lives
	marker   pair
	sequence uint32 // of tokens; 0: there is none
	proxied  bool   // somebody stands between us and the server
	clock    sqllock.Clock
	limit    time.Duration // of silence

	sending sync.Mutex // for whoever sends the one batch that is on its way
	encoder encoder

	// answered is when the last command that has been answered was sent.
	answered atomic.Int64
	dead     atomic.Pointer[error]
	ended    chan struct{} // closed when its own reader has ended

	flying  atomic.Pointer[batch] // what is on its way
	reading bool                  // somebody reads; guarded by the session's mutex
	resume  chan struct{}         // tells its own reader to go on
	fatal   error                 // what the server said before it closed the connection; of whoever reads
}

// errSilent is the reason of a loss: the server has not answered for so long that it may have ended the session.
var errSilent = errors.New("the server has not answered for too long")

// err is nil while the server has answered lately; it reads the clock.
func (l *link) err() error {
	if dead := l.dead.Load(); dead != nil {
		return *dead
	}
	if l.silence() < l.limit {
		return nil
	}
	reason := errSilent
	l.dead.CompareAndSwap(nil, &reason) // and tick ends the connection
	return *l.dead.Load()
}

func (l *link) silence() time.Duration { return l.clock.Now() - time.Duration(l.answered.Load()) }

// fail ends the connection, and with it everything that is held. The first reason counts.
func (l *link) fail(reason error) error {
	l.dead.CompareAndSwap(nil, &reason)
	_ = l.conn.Close() // which ends the reader, who tells everybody
	return *l.dead.Load()
}

// end tells everybody that what was held is lost, and only then closes the connection, which may free it for others at once.
func (l *link) end(s *Session, reason error) {
	l.dead.CompareAndSwap(nil, &reason)
	s.broken(l, *l.dead.Load())
	_ = l.conn.Close()
}

// send writes a batch. An error ends the session.
func (l *link) send(b *batch) {
	l.sending.Lock()
	defer l.sending.Unlock()
	b.encode(&l.encoder)
	if _, err := l.conn.Write(l.encoder.buf); err != nil {
		reason := err // its own variable: the one whose address is taken is allocated
		l.dead.CompareAndSwap(nil, &reason)
		_ = l.conn.SetReadDeadline(time.Unix(1, 0)) // whoever reads tells everybody
	}
	const room = 64 << 10
	if cap(l.encoder.buf) > room {
		l.encoder = encoder{}
	}
}

// read is the connection's own reader: it reads whenever no caller does, and for ever while somebody waits.
func (l *link) read(s *Session) {
	defer close(l.ended)
	timer := time.NewTimer(quiet)
	defer timer.Stop()
	for {
		if err := l.receive(context.Background(), s, nil); err != nil {
			l.end(s, err)
			return
		}
		for reading := false; !reading; {
			timer.Reset(quiet)
			select {
			case <-l.resume:
				reading = true
			case <-timer.C:
				reading = s.claim(l)
			}
		}
	}
}

// quiet is how long nobody reads after a caller has read its own answer. In a loop of one goroutine the next one follows sooner, and to
// wake another to read for it would take longer than all the rest of the client's work.
const quiet = 2 * time.Millisecond

// receive reads until nobody needs a reader any more, or, for a caller that reads for itself, until it has its answer or its context has ended.
func (l *link) receive(ctx context.Context, s *Session, own *op) error {
	for {
		message, err := l.frontend.Receive()
		if err != nil {
			if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() { // see lead
				_ = l.conn.SetReadDeadline(time.Time{}) // before the look at dead, so that the deadline of one who sets that then stays
				if dead := l.dead.Load(); dead != nil {
					return *dead
				}
				if ctx.Err() != nil {
					return errInterrupted
				}
				continue
			}
			if l.fatal != nil {
				return l.fatal
			}
			return err
		}
		b := l.flying.Load()
		switch m := message.(type) {
		case *pgproto3.DataRow:
			if err := b.row(m.Values); err != nil {
				return err
			}
		case *pgproto3.CommandComplete:
			if err := b.complete(); err != nil {
				return err
			}
		case *pgproto3.ErrorResponse:
			err := pgconn.ErrorResponseToPgError(m)
			if m.SeverityUnlocalized == "FATAL" || b == nil {
				l.fatal = err
			} else {
				b.fail(err)
			}
		case *pgproto3.ReadyForQuery:
			if b == nil || m.TxStatus != 'I' {
				return fmt.Errorf("postgres: the server answers what nobody asked, in state %q", m.TxStatus)
			}
			if !b.synced() {
				continue
			}
			if err := b.doubt(l); err != nil {
				return err
			}
			now := l.clock.Now()
			if now-time.Duration(l.answered.Load()) >= l.limit {
				return errSilent
			}
			l.answered.Store(int64(b.sent))
			if enough, err := s.arrived(l, b, now, own); enough || err != nil {
				return err
			}
		case *pgproto3.NotificationResponse:
			if m.Channel == channel {
				s.notified(m.Payload, m.PID == l.pid)
			}
		}
	}
}

// errInterrupted says that the caller who read has left.
var errInterrupted = errors.New("postgres: interrupted")

// channel is what sessions listen on.
const channel = "sqllock"
