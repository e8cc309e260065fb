package sqlite

import (
	"context"
	"database/sql"
	"time"

	"github.com/sqllock/toolkit/internal/lease"
)

// Watch implements [lease.Store]. SQLite pushes nothing, but PRAGMA data_version tells at almost no cost whether any other connection, of
// this process or another, has committed (https://www.sqlite.org/pragma.html#pragma_data_version).
func (s *store) Watch(ctx context.Context, events lease.Events) {
	for ctx.Err() == nil {
		_ = s.watch(ctx, events) // whatever is wrong with the file, those who use it are told
		select {
		case <-time.After(s.poll):
		case <-ctx.Done():
		}
	}
}

func (s *store) watch(ctx context.Context, events lease.Events) error {
	_, relaxed, err := s.file.open(ctx)
	if err != nil {
		return err
	}
	conn, err := relaxed.Conn(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()

	ticker := time.NewTicker(s.poll)
	defer ticker.Stop()
	seen := int64(-1)
	for {
		var version int64
		if err := conn.QueryRowContext(ctx, "PRAGMA data_version").Scan(&version); err != nil {
			return err
		}
		if version != seen {
			seen = version
			if err := s.observe(ctx, conn, events); err != nil {
				return err
			}
			events.Changed()
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// observe tells the sessions in use their epochs.
func (s *store) observe(ctx context.Context, conn *sql.Conn, events lease.Events) error {
	ids, _ := events.Sessions()
	mine := make(map[lease.SessionID]bool, len(ids))
	for _, id := range ids {
		mine[id] = true
	}
	return tx{ctx, conn}.each("epochs", func(r *sql.Rows) error {
		var id lease.SessionID
		var epoch int64
		if err := r.Scan(&id, &epoch); err != nil {
			return err
		}
		if mine[id] {
			events.Observed(id, epoch)
		}
		return nil
	})
}
