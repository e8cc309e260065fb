package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/sqllock/toolkit/internal/lease"
	"github.com/sqllock/toolkit/sqllock"
)

// store is the lock table as one Client's lease engine uses it.
type store struct {
	file      *file
	namespace string
	poll      time.Duration
}

var _ lease.Store = (*store)(nil)

// durably and relaxedly run a write transaction whose loss in a power cut would, or would not, matter.
func (s *store) durably(ctx context.Context, doing string, f func(tx) error) error {
	return s.write(ctx, doing, true, f)
}

func (s *store) relaxedly(ctx context.Context, doing string, f func(tx) error) error {
	return s.write(ctx, doing, false, f)
}

func (s *store) write(ctx context.Context, doing string, onDisk bool, f func(tx) error) error {
	durable, relaxed, err := s.file.open(ctx)
	if err != nil {
		return err
	}
	db := relaxed
	if onDisk {
		db = durable
	}
	return explain(s.file.path, doing, write(ctx, db, func(t *sql.Tx) error { return f(tx{ctx, t}) }))
}

// tx runs the statements of the folder sql.
type tx struct {
	ctx context.Context
	q   interface {
		ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
		QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
		QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
	}
}

func (t tx) exec(name string, args ...any) error {
	_, err := t.q.ExecContext(t.ctx, statements[name], args...)
	return err
}

func (t tx) row(name string, args ...any) *sql.Row {
	return t.q.QueryRowContext(t.ctx, statements[name], args...)
}

func (t tx) each(name string, f func(*sql.Rows) error, args ...any) error {
	rows, err := t.q.QueryContext(t.ctx, statements[name], args...)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		if err := f(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

func (s *store) reader(ctx context.Context) (tx, error) {
	durable, _, err := s.file.open(ctx)
	return tx{ctx, durable}, err
}

func (s *store) Check(ctx context.Context) error {
	_, _, err := s.file.open(ctx)
	return err
}

func (s *store) Open(ctx context.Context, id lease.SessionID, owner string, ttl time.Duration) error {
	return s.relaxedly(ctx, "open session", func(t tx) error { return t.exec("open", id, owner, ttl.Milliseconds()) })
}

func (s *store) Renew(ctx context.Context, id lease.SessionID, ttl time.Duration) (epoch int64, err error) {
	err = s.relaxedly(ctx, "renew", func(t tx) error {
		return t.row("renew", id, ttl.Milliseconds()).Scan(&epoch)
	})
	if errors.Is(err, sql.ErrNoRows) {
		err = lease.ErrGone
	}
	return epoch, err
}

// Reconcile has no late arrivals: the database is in this process, and a transaction ends before its call does.
func (s *store) Reconcile(ctx context.Context, id lease.SessionID, _ int64, known []lease.Ref) (epoch int64, present []lease.Ref, err error) {
	mine := make(map[lease.Ref]bool, len(known))
	for _, ref := range known {
		mine[ref] = true
	}
	err = s.durably(ctx, "reconcile", func(t tx) error {
		present = nil
		if err := t.row("reconcile_epoch", id).Scan(&epoch); err != nil {
			return err
		}
		held, err := t.holders(id)
		if err != nil {
			return err
		}
		for _, ref := range held {
			if mine[ref] {
				present = append(present, ref)
			} else if _, err := t.giveUp(ref); err != nil {
				return err
			}
		}
		return t.exec("leave_lines", id)
	})
	if errors.Is(err, sql.ErrNoRows) {
		err = lease.ErrGone
	}
	return epoch, present, err
}

func (t tx) holders(id lease.SessionID) (refs []lease.Ref, err error) {
	err = t.each("holders_of", func(r *sql.Rows) error {
		var ref lease.Ref
		err := r.Scan(&ref.Resource, &ref.Token)
		refs = append(refs, ref)
		return err
	}, id)
	return refs, err
}

// giveUp removes a holder, or leaves it without a session if it is to be kept for a while.
func (t tx) giveUp(ref lease.Ref) (lease.Freed, error) {
	for _, name := range []string{"keep", "delete"} {
		res, err := t.q.ExecContext(t.ctx, statements[name], ref.Resource, ref.Token)
		if err != nil {
			return lease.Missing, err
		}
		if n, err := res.RowsAffected(); n > 0 || err != nil {
			return lease.Released, err
		}
	}
	return lease.Missing, nil
}

func (s *store) End(ctx context.Context, id lease.SessionID) error {
	return s.relaxedly(ctx, "end session", func(t tx) error {
		held, err := t.holders(id)
		if err != nil {
			return err
		}
		for _, ref := range held {
			if _, err := t.giveUp(ref); err != nil {
				return err
			}
		}
		return errors.Join(t.exec("leave_lines", id), t.exec("end_session", id))
	})
}

func (s *store) Seed(ctx context.Context, names []string) error {
	return s.relaxedly(ctx, "seed", func(t tx) error {
		for _, name := range names {
			if err := t.exec("seed", s.namespace, name); err != nil {
				return err
			}
		}
		return nil
	})
}

func (s *store) Enlist(ctx context.Context, id lease.SessionID, _ int64, wants []lease.Want) (waiters []int64, err error) {
	err = s.relaxedly(ctx, "enlist", func(t tx) error {
		waiters = make([]int64, len(wants))
		for i, w := range wants {
			err := t.row("enlist", s.namespace, w.Name, id, lease.ModeLetter(w.Mode), w.Permits).Scan(&waiters[i])
			if err != nil && !errors.Is(err, sql.ErrNoRows) { // no row: the name has none yet
				return err
			}
		}
		return nil
	})
	return waiters, err
}

func (s *store) Delist(ctx context.Context, waiters []int64) error {
	return s.relaxedly(ctx, "delist", func(t tx) error {
		for _, w := range waiters {
			if err := t.exec("delist", w); err != nil {
				return err
			}
		}
		return nil
	})
}

// Wake has nothing to do: whoever waits sees that the file has changed.
func (s *store) Wake(context.Context, []int64) error { return nil }

// Acquire looks before it takes the write lock, so that those who wait do not disturb those who work.
func (s *store) Acquire(ctx context.Context, b lease.Batch) (outcomes []lease.Outcome, err error) {
	r, err := s.reader(ctx)
	if err != nil {
		return nil, err
	}
	hopeful := false
	outcomes, err = s.judge(r, b, func(l look, w lease.Want) (lease.Outcome, error) {
		hopeful = hopeful || l.dead > 0 || l.admits(w)
		return l.refusal(), nil
	})
	if err != nil && !errors.Is(err, lease.ErrStale) {
		return nil, explain(s.file.path, "acquire", err)
	}
	if err == nil && hopeful {
		err = s.durably(ctx, "acquire", func(t tx) error {
			outcomes, err = s.judge(t, b, func(l look, w lease.Want) (lease.Outcome, error) { return s.grant(t, b.Session, l, w) })
			return err
		})
	}
	if errors.Is(err, lease.ErrStale) {
		return nil, lease.ErrStale
	}
	return outcomes, err
}

func (s *store) judge(t tx, b lease.Batch, decide func(look, lease.Want) (lease.Outcome, error)) ([]lease.Outcome, error) {
	var current bool
	if err := t.row("current", b.Session, b.Epoch).Scan(&current); err != nil {
		return nil, err
	}
	if !current {
		return nil, lease.ErrStale
	}
	outcomes := make([]lease.Outcome, len(b.Wants))
	for i, w := range b.Wants {
		l, err := t.look(s.namespace, w)
		if err != nil {
			return nil, err
		}
		if l.resource == 0 {
			continue // unseeded
		}
		if outcomes[i], err = decide(l, w); err != nil {
			return nil, err
		}
	}
	return outcomes, nil
}

// grant grants w if nobody alive stands in its way.
func (s *store) grant(t tx, id lease.SessionID, l look, w lease.Want) (lease.Outcome, error) {
	if l.dead > 0 && !l.admits(w) {
		var err error
		if l, err = t.evict(s.namespace, l, w); err != nil {
			return lease.Outcome{}, err
		}
	}
	if !l.admits(w) {
		return l.refusal(), nil
	}
	ref := lease.Ref{Resource: l.resource}
	if err := t.row("count", ref.Resource).Scan(&ref.Token); err != nil {
		return lease.Outcome{}, err
	}
	err := t.exec("hold", ref.Resource, ref.Token, lease.ModeLetter(w.Mode), w.Permits, id, lease.EncodeMetadata(w.Metadata), w.AtLeast.Milliseconds())
	if err == nil && w.Waiter != 0 {
		err = t.exec("delist", w.Waiter)
	}
	return lease.Outcome{Verdict: lease.Granted, Ref: ref}, err
}

func (s *store) Release(ctx context.Context, _ int, refs []lease.Ref) (freed []lease.Freed, err error) {
	err = s.relaxedly(ctx, "release", func(t tx) error {
		freed = make([]lease.Freed, len(refs))
		for i, ref := range refs {
			var err error
			if freed[i], err = t.giveUp(ref); err != nil {
				return err
			}
		}
		return nil
	})
	return freed, err
}

// Lanes implements [lease.Store]: one at a time can write.
func (s *store) Lanes() int { return 1 }

func (s *store) Collect(ctx context.Context) error {
	return s.relaxedly(ctx, "collect", func(t tx) error {
		return errors.Join(t.exec("collect_sessions"), t.exec("collect_waiters"))
	})
}

func (s *store) Verify(ctx context.Context, id lease.SessionID, ref lease.Ref) (held bool, err error) {
	r, err := s.reader(ctx)
	if err != nil {
		return false, err
	}
	err = r.row("verify", id, ref.Resource, ref.Token).Scan(&held)
	return held, explain(s.file.path, "verify", err)
}

func (s *store) Publish(ctx context.Context, ref lease.Ref, value map[string]string) (ok bool, err error) {
	err = s.relaxedly(ctx, "publish", func(t tx) error {
		res, err := t.q.ExecContext(ctx, statements["publish"], ref.Resource, ref.Token, lease.EncodeMetadata(value))
		if err != nil {
			return err
		}
		n, err := res.RowsAffected()
		ok = n > 0
		return err
	})
	return ok, err
}

func (s *store) Leader(ctx context.Context, name string) (sqllock.Leader, error) {
	r, err := s.reader(ctx)
	if err != nil {
		return sqllock.Leader{}, err
	}
	l := sqllock.Leader{Name: name}
	var metadata *string
	var since int64
	err = r.row("leader", s.namespace, name).Scan(&l.Token, &l.Owner, &metadata, &since)
	if errors.Is(err, sql.ErrNoRows) {
		return sqllock.Leader{}, sqllock.ErrNoLeader
	}
	if err == nil {
		l.Since = time.UnixMilli(since)
		l.Value, err = lease.DecodeMetadata(metadata)
	}
	return l, explain(s.file.path, "leader", err)
}

func (s *store) Locks(ctx context.Context) (infos []sqllock.LockInfo, err error) {
	r, err := s.reader(ctx)
	if err != nil {
		return nil, err
	}
	err = r.each("locks", func(rows *sql.Rows) error {
		var i sqllock.LockInfo
		var mode string
		var metadata *string
		var since int64
		var expires, keep sql.NullInt64
		err := rows.Scan(&i.Name, &mode, &i.Permits, &i.Waiting, &i.Token, &i.Owner, &metadata, &since, &expires, &keep)
		if err != nil {
			return err
		}
		i.Mode, i.Since = lease.LetterMode(mode), time.UnixMilli(since)
		if expires.Valid {
			i.Expires = time.UnixMilli(expires.Int64)
		}
		if keep.Valid {
			i.Keep = time.UnixMilli(keep.Int64)
		}
		i.Metadata, err = lease.DecodeMetadata(metadata)
		infos = append(infos, i)
		return err
	}, s.namespace)
	return infos, explain(s.file.path, "locks", err)
}

func (s *store) ForceRelease(ctx context.Context, name string) error {
	err := s.durably(ctx, "force release", func(t tx) error {
		var resource int64
		err := t.row("find", s.namespace, name).Scan(&resource)
		if errors.Is(err, sql.ErrNoRows) {
			return nil // a name that was never locked
		}
		if err != nil {
			return err
		}
		for _, st := range []string{"force_tell", "force_take", "count"} {
			if err := t.exec(st, resource); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil && context.Cause(ctx) != nil {
		return errors.Join(sqllock.ErrNotConfirmed, err)
	}
	return err
}

func (s *store) Poll() time.Duration { return time.Second }

func (s *store) Permanent(err error) bool { return permanent(err) }

func (s *store) Close() error { return s.file.close() }
