package mysql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/sqllock/toolkit/internal/lease"
)

// bell is the connection of a Client that sleeps in the server until somebody rings: by KILL QUERY, which everybody may send to
// connections of the same user. It has the user lock "sqllock bell <session>" for each of its sessions, by which it is found, and
// "sqllock asleep <connection>" while it sleeps. It sleeps waiting for "sqllock rope <connection>", which a second connection keeps that
// does nothing else.
//
// Nothing is missed. Whoever has changed something commits first, and then looks for the connection. If that is asleep, it will look when
// it is awake, and see the change. If it is awake it may have looked before; then who rings tries again until it is asleep. If there is no
// bell yet, or none any more, it will look when it has been hung.
type bell struct {
	store *store
	conn  *sql.Conn
	id    int64 // of the connection

	hung map[lease.SessionID]bool
	gone map[lease.SessionID]bool // sessions whose row was missed, and of which that was told
}

// sleepFor is how long a bell sleeps if nobody rings. Then it finds out whether its connection has died in silence.
const sleepFor = 10 * time.Second

// bellTimeout bounds everything else that a bell does.
const bellTimeout = 5 * time.Second

// Watch implements [lease.Store].
func (s *store) Watch(ctx context.Context, events lease.Events) {
	const shortest, longest = 10 * time.Millisecond, 2 * time.Second
	pause := shortest
	for again := false; ctx.Err() == nil; again = true {
		started := time.Now()
		err := s.listen(ctx, events, again)
		if err == nil {
			return
		}
		s.log.Debug("sqllock: listening interrupted", slog.Any("error", err))
		if time.Since(started) > longest {
			pause = shortest
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
		pause = min(2*pause, longest)
	}
}

// listen hangs a bell and answers it, until ctx ends or the connection breaks.
func (s *store) listen(ctx context.Context, events lease.Events, again bool) error {
	conn, err := s.connect(ctx)
	if err != nil {
		return err
	}
	defer discard(conn) // its user locks must not outlive it
	b := &bell{store: s, conn: conn, hung: make(map[lease.SessionID]bool), gone: make(map[lease.SessionID]bool)}
	if err := b.ask(ctx, statement{"bell_prepare", nil, into(&b.id)}); err != nil {
		return err
	}
	rope, err := s.connect(ctx)
	if err != nil {
		return err
	}
	defer discard(rope)
	if err := b.fasten(ctx, rope); err != nil {
		return err
	}
	for ctx.Err() == nil {
		ids, changed := events.Sessions()
		fresh, err := b.hang(ctx, ids)
		if err != nil {
			return err
		}
		if again {
			again = false
			events.Interrupted()
		}
		if fresh {
			events.Watching()
		}
		if err := b.look(ctx, ids, events); err != nil {
			return err
		}
		if err := b.sleep(ctx, changed); err != nil {
			return err
		}
	}
	return nil
}

func (s *store) connect(ctx context.Context) (*sql.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, bellTimeout)
	defer cancel()
	return s.pool.db.Conn(ctx)
}

// fasten has another connection keep what the bell waits for when it sleeps.
func (b *bell) fasten(ctx context.Context, rope *sql.Conn) error {
	ctx, cancel := context.WithTimeout(ctx, bellTimeout)
	defer cancel()
	var kept sql.NullInt64
	err := b.store.send(ctx, rope, []statement{{"bell_rope", []any{b.id}, into(&kept)}})
	if err == nil && kept.Int64 != 1 {
		err = fmt.Errorf("mysql: the lock that connection %d is to wait for is taken", b.id)
	}
	return err
}

// ask sends statements that do not wait for anything. A late ring may interrupt them.
func (b *bell) ask(ctx context.Context, all ...statement) error {
	ctx, cancel := context.WithTimeout(ctx, bellTimeout)
	defer cancel()
	for {
		err := b.store.send(ctx, b.conn, all)
		if number(err) != queryInterrupted {
			return err
		}
	}
}

// hang makes the bell that of these sessions and of no others, and tells whether there are some among them for which it was not.
func (b *bell) hang(ctx context.Context, ids []lease.SessionID) (fresh bool, err error) {
	wanted := make(map[lease.SessionID]bool, len(ids))
	for _, id := range ids {
		wanted[id] = true
		if b.hung[id] {
			continue
		}
		if err := b.take(ctx, id); err != nil {
			return false, err
		}
		b.hung[id], fresh = true, true
	}
	for id := range b.hung {
		if wanted[id] {
			continue
		}
		var released sql.NullInt64
		if err := b.ask(ctx, statement{"bell_take_down", []any{int64(id)}, into(&released)}); err != nil {
			return false, err
		}
		delete(b.hung, id)
	}
	return fresh, nil
}

// take takes the user lock of a session. If the last connection of this Client still has it, because the server has not noticed that it is
// broken, the server is told.
func (b *bell) take(ctx context.Context, id lease.SessionID) error {
	var taken, by sql.NullInt64
	err := b.ask(ctx, statement{"bell_hang", []any{int64(id), int64(id)}, into(&taken, &by)})
	if err != nil || taken.Int64 == 1 {
		return err
	}
	if by.Valid && by.Int64 != b.id {
		// Nobody but us knows the session's id. The number cannot be another connection's by now: they count up.
		err = b.ask(ctx, statement{name: "kill", args: []any{by.Int64}})
	}
	return fmt.Errorf("mysql: connection %d has the bell of this session: %w", by.Int64, err)
}

// look reads what there is to hear, after it has said that it is awake: who has not seen that has committed before.
func (b *bell) look(ctx context.Context, ids []lease.SessionID, events lease.Events) error {
	var sessions, waiters []sql.NullInt64
	var epochs []sql.NullInt64
	list := encode(ids)
	st := statement{"bell_look", []any{list, list}, func(r *sql.Rows) error {
		var session, epoch, waiter sql.NullInt64
		err := r.Scan(&session, &epoch, &waiter)
		sessions, epochs, waiters = append(sessions, session), append(epochs, epoch), append(waiters, waiter)
		return err
	}}
	if err := b.ask(ctx, statement{"bell_wake", nil, into(new(sql.NullInt64))}, st); err != nil {
		return err
	}
	for i := range sessions {
		id := lease.SessionID(sessions[i].Int64)
		switch {
		case waiters[i].Valid:
			events.Woken(waiters[i].Int64)
		case epochs[i].Valid:
			events.Observed(id, epochs[i].Int64)
		case !b.gone[id]:
			b.gone[id] = true
			events.Interrupted()
		}
	}
	return nil
}

// sleep returns when somebody has rung, after a while, when the sessions have changed or when ctx ends.
func (b *bell) sleep(ctx context.Context, changed <-chan struct{}) error {
	asleep, cancel := context.WithTimeout(context.WithoutCancel(ctx), sleepFor+bellTimeout)
	defer cancel()
	awake := make(chan struct{})
	interrupted := make(chan struct{})
	go func() {
		defer close(interrupted)
		select {
		case <-changed:
		case <-ctx.Done():
		case <-awake:
			return
		}
		b.wakeUp(awake)
		cancel() // it does not hear us
	}()
	var slept sql.NullInt64
	err := b.store.send(asleep, b.conn, []statement{{"bell_sleep", []any{sleepFor.Seconds()}, into(&slept)}})
	close(awake)
	<-interrupted
	switch {
	case number(err) == queryInterrupted:
		return nil
	case err == nil && slept.Int64 == 1:
		return errors.New("mysql: the other connection of the bell has ended")
	}
	return err
}

// wakeUp rings our own bell until it is awake, at most for a second: a connection between two statements does not hear it.
func (b *bell) wakeUp(awake <-chan struct{}) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	for pause := time.Millisecond; ctx.Err() == nil; pause *= 2 {
		_ = b.store.kill(ctx, b.id)
		select {
		case <-awake:
			return
		case <-time.After(pause):
		}
	}
}
