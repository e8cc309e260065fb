package advisory

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// sentinel is a second connection, which waits in the server for the end of the sessions that hold what its own session waits for: each
// session holds its marker for as long as it lives. It blocks in slices, because whoever blocks has a snapshot: shorter than the
// server's deadlock_timeout, so that a CREATE INDEX CONCURRENTLY of the holder has to wait for a slice and no more.
//
// With several holders the slices go round.
type sentinel struct {
	session *Session
	kick    chan struct{} // somebody has begun to wait
}

const (
	slice         = 500 * time.Millisecond
	shortestSlice = 20 * time.Millisecond
)

// startSentinel has the sentinel look, and makes it first if there is none.
func (s *Session) startSentinel() {
	if !s.cfg.Sentinel || s.closed {
		return
	}
	if s.watch == nil {
		s.watch = &sentinel{session: s, kick: make(chan struct{}, 1)}
		s.dials.Go(s.watch.run)
	}
	select {
	case s.watch.kick <- struct{}{}:
	default:
	}
}

func (w *sentinel) run() {
	life := w.session.life
	for life.Err() == nil {
		select {
		case <-w.kick:
		case <-life.Done():
			return
		}
		if err := w.look(life); err != nil {
			w.session.cfg.Logger.Debug("sqllock: sentinel interrupted", "error", err)
			select { // whoever waits polls meanwhile
			case <-time.After(w.session.cfg.Poll):
				w.session.mu.Lock()
				w.session.startSentinel()
				w.session.mu.Unlock()
			case <-life.Done():
			}
		}
	}
}

// look watches holders until nobody has waited for a while.
func (w *sentinel) look(ctx context.Context) error {
	pg, err := w.session.cfg.Dial(ctx)
	if err != nil {
		return err
	}
	defer func() {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = pg.Close(closing)
	}()
	if _, err := pg.Exec(ctx, "SET statement_timeout = 0; SET search_path = pg_catalog", pgx.QueryExecModeSimpleProtocol); err != nil {
		return err
	}
	for {
		keys, self := w.waited()
		if len(keys) == 0 {
			select {
			case <-w.kick:
				continue
			case <-time.After(idleTimeout):
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		pids, err := w.holders(ctx, pg, keys, self)
		if err != nil {
			return err
		}
		ended := false
		for _, pid := range pids {
			if pid == 0 { // a key that nobody holds: its holder has ended before we looked
				ended = true
				continue
			}
			over, err := w.outlives(ctx, pg, pid, max(slice/time.Duration(len(pids)), shortestSlice))
			if err != nil {
				return err
			}
			ended = ended || over
		}
		pause := time.Duration(0)
		if ended {
			w.session.takeOver()
			pause = shortestSlice
		} else if len(pids) == 0 { // held by transactions, or by others' sessions
			pause = slice
		}
		select {
		case <-time.After(pause):
		case <-w.kick:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// waited are the keys that somebody waits for, and the process of the session itself.
func (w *sentinel) waited() (keys []int64, self uint32) {
	s := w.session
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, e := range s.entries {
		if e.line != nil && len(e.line.waiters) > 0 {
			keys = append(keys, key)
		}
	}
	if s.link != nil {
		self = s.link.pid
	}
	return keys, self
}

func (w *sentinel) holders(ctx context.Context, pg *pgx.Conn, keys []int64, self uint32) ([]uint32, error) {
	rows, err := pg.Query(ctx, statement("sessions", 0), keys, int32(self), int64(uint32(marker(w.session.cfg.Namespace, 0).a)))
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[uint32])
}

// outlives waits for the end of a session, for a slice of time at most.
func (w *sentinel) outlives(ctx context.Context, pg *pgx.Conn, pid uint32, d time.Duration) (over bool, err error) {
	m := marker(w.session.cfg.Namespace, pid)
	wait := fmt.Sprintf("SET lock_timeout = %d; SELECT pg_advisory_lock_shared(%d, %d)", d.Milliseconds(), m.a, m.b)
	_, err = pg.Exec(ctx, wait, pgx.QueryExecModeSimpleProtocol)
	var refused *pgconn.PgError
	if errors.As(err, &refused) && refused.Code == lockNotAvailable {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	_, err = pg.Exec(ctx, fmt.Sprintf("SELECT pg_advisory_unlock_shared(%d, %d)", m.a, m.b), pgx.QueryExecModeSimpleProtocol)
	return true, err
}

// takeOver has everybody try, and again a moment later: the server gives the locks of a dead session back one after the other.
func (s *Session) takeOver() {
	for _, d := range []time.Duration{0, 2 * time.Millisecond, 10 * time.Millisecond} {
		s.cfg.Clock.AfterFunc(d, func() {
			s.mu.Lock()
			defer s.unlock()
			if s.link == nil {
				return
			}
			for _, e := range s.entries {
				s.wake(e, false)
			}
		})
	}
}
