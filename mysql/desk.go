package mysql

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/sqllock/toolkit/internal/lease"
	"github.com/sqllock/toolkit/sqllock"
)

// deskSize is how many callers may ask the database at a time, beside what the engine does.
const deskSize = 4

// ask runs statements for a caller, whose context may end: that costs a connection, and not one on which others wait.
func (s *store) ask(ctx context.Context, doing string, batch ...statement) error {
	return s.atDesk(ctx, func() error { return s.run(ctx, doing, s.pool, batch...) })
}

func (s *store) atDesk(ctx context.Context, f func() error) error {
	select {
	case s.desk <- struct{}{}:
		defer func() { <-s.desk }()
		return f()
	case <-ctx.Done():
		return fmt.Errorf("mysql: %w", context.Cause(ctx))
	}
}

func (s *store) Verify(ctx context.Context, id lease.SessionID, ref lease.Ref) (held bool, err error) {
	err = s.ask(ctx, "verify", statement{"verify", []any{id, ref.Resource, ref.Token}, into(&held)})
	return held, err
}

func (s *store) Publish(ctx context.Context, ref lease.Ref, value map[string]string) (bool, error) {
	var published int64
	err := s.ask(ctx, "publish",
		statement{name: "publish", args: []any{lease.EncodeMetadata(value), ref.Resource, ref.Token}},
		statement{"published", nil, into(&published)})
	return published > 0, err
}

func (s *store) Leader(ctx context.Context, name string) (sqllock.Leader, error) {
	l := sqllock.Leader{Name: name}
	found := false
	err := s.ask(ctx, "leader", statement{"leader", []any{s.namespace(), []byte(name)}, func(r *sql.Rows) error {
		found = true
		var metadata *string
		var since int64
		if err := r.Scan(&l.Token, &l.Owner, &metadata, &since); err != nil {
			return err
		}
		l.Since = time.UnixMicro(since)
		var err error
		l.Value, err = lease.DecodeMetadata(metadata)
		return err
	}})
	if err == nil && !found {
		err = sqllock.ErrNoLeader
	}
	if err != nil {
		return sqllock.Leader{}, err
	}
	return l, nil
}

func (s *store) Locks(ctx context.Context) (infos []sqllock.LockInfo, err error) {
	err = s.ask(ctx, "locks", statement{"locks", []any{s.namespace(), s.namespace()}, func(r *sql.Rows) error {
		var i sqllock.LockInfo
		var mode string
		var metadata *string
		var since int64
		var expires, keep sql.NullInt64
		if err := r.Scan(&i.Name, &mode, &i.Permits, &i.Waiting, &i.Token, &i.Owner, &metadata, &since, &expires, &keep); err != nil {
			return err
		}
		i.Mode, i.Since = lease.LetterMode(mode), time.UnixMicro(since)
		if expires.Valid {
			i.Expires = time.UnixMicro(expires.Int64)
		}
		if keep.Valid {
			i.Keep = time.UnixMicro(keep.Int64)
		}
		var err error
		i.Metadata, err = lease.DecodeMetadata(metadata)
		infos = append(infos, i)
		return err
	}})
	return infos, err
}

// ForceRelease implements [lease.Store]. The server waits a second at a time for guards.
func (s *store) ForceRelease(ctx context.Context, name string) error {
	for {
		if context.Cause(ctx) != nil {
			return fmt.Errorf("mysql: %w: %w", sqllock.ErrNotConfirmed, context.Cause(ctx))
		}
		err := s.atDesk(ctx, func() error { return s.force(ctx, name) })
		switch {
		case err == nil:
			return nil
		case context.Cause(ctx) != nil:
			return fmt.Errorf("mysql: %w: %w", sqllock.ErrNotConfirmed, err)
		case !passing(err):
			return err
		}
	}
}

func (s *store) force(ctx context.Context, name string) error {
	if s.galera.Load() { // a name that is new may have been granted on another node, and not have come to this one yet
		if err := s.run(ctx, "force release", s.pool, statement{name: "sync_on"}, statement{"sync", nil, into(new(int))}, statement{name: "sync_off"}); err != nil {
			return err
		}
	}
	var told, next []listener
	err := s.transact(ctx, "force release", s.pool, func() []statement {
		told, next = nil, nil
		return []statement{
			{name: "force_lock", args: []any{s.namespace(), []byte(name)}},
			{name: "force_whom"},
			{name: "force_tell"},
			{name: "force_take"},
			{name: "force_count"},
		}
	}, statement{"forced", nil, appendListener(&told)}, wake(&next))
	if err == nil {
		s.ringing.ring(append(told, next...))
	}
	return err
}
