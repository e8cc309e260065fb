package advisory

import (
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

// link is one connection, used in both directions at once: whoever has something to ask writes, one goroutine reads whatever comes, be it
// an answer, a notification or the end. So a loss is seen when it happens, and nothing has to be interrupted to ask.
type link struct {
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
	ended    chan struct{} // closed when the reader has ended
}

// ErrSilent is the reason of a loss: the server has not answered for so long that it may have ended the session.
var errSilent = errors.New("the server has not answered for too long")

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

func (l *link) silence() time.Duration { return l.clock.Now() - time.Duration(l.answered.Load()) }

// fail ends the connection, and with it everything that is held. The first reason counts.
func (l *link) fail(reason error) error {
	l.dead.CompareAndSwap(nil, &reason)
	_ = l.conn.Close() // which ends the reader, who tells everybody
	return *l.dead.Load()
}

// send writes a batch. An error ends the connection; the reader tells of it.
func (l *link) send(b *batch) {
	l.sending.Lock()
	defer l.sending.Unlock()
	b.encode(&l.encoder)
	if _, err := l.conn.Write(l.encoder.buf); err != nil {
		_ = l.fail(err)
	}
	const room = 64 << 10
	if cap(l.encoder.buf) > room {
		l.encoder = encoder{}
	}
}

// reader is who is told what arrives.
type reader interface {
	arrived(*link)           // all of the batch on its way is answered
	notified(message string) // by another session, or by this one
	broken(*link, error)     // the connection has ended
	flyingOn(l *link) *batch // what is on its way
}

// read runs until the connection ends.
func (l *link) read(to reader) {
	defer close(l.ended)
	err := l.receive(to)
	_ = l.fail(err)
	to.broken(l, *l.dead.Load())
}

func (l *link) receive(to reader) error {
	var fatal error
	for {
		message, err := l.frontend.Receive()
		if err != nil {
			return errors.Join(fatal, err)
		}
		switch m := message.(type) {
		case *pgproto3.DataRow:
			if err := to.flyingOn(l).row(m.Values); err != nil {
				return err
			}
		case *pgproto3.CommandComplete:
			if err := to.flyingOn(l).complete(); err != nil {
				return err
			}
		case *pgproto3.ErrorResponse:
			err := pgconn.ErrorResponseToPgError(m)
			if b := to.flyingOn(l); m.SeverityUnlocalized == "FATAL" || b == nil {
				fatal = err
			} else {
				b.fail(err)
			}
		case *pgproto3.ReadyForQuery:
			b := to.flyingOn(l)
			if b == nil || m.TxStatus != 'I' {
				return fmt.Errorf("postgres: the server answers what nobody asked, in state %q", m.TxStatus)
			}
			if b.synced() {
				if err := b.doubt(l); err != nil {
					return err
				}
				if l.silence() >= l.limit {
					return errSilent
				}
				l.answered.Store(int64(b.sent))
				to.arrived(l)
			}
		case *pgproto3.NotificationResponse:
			if m.Channel == channel {
				to.notified(m.Payload)
			}
		}
	}
}

// channel is what sessions listen on.
const channel = "sqllock"
