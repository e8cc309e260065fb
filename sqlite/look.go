package sqlite

import (
	"database/sql"
	"time"

	"github.com/sqllock/toolkit/internal/lease"
	"github.com/sqllock/toolkit/sqllock"
)

// look is what stands in the way of one name at one instant.
type look struct {
	resource int64
	held     counts // holders, dead or alive
	queued   counts // living waiters who came before
	permits  int    // the smallest number among holders of permits; 0 if there are none
	dead     int    // holders that can be evicted
	owner    string
	ends     int64 // when the first of all those in the way may end by itself, in ms; 0 if there is none
	now      int64
}

type counts struct{ x, s, p int }

func (t tx) look(namespace string, w lease.Want) (look, error) {
	var l look
	var resource, holdersEnd, waitersEnd sql.NullInt64
	err := t.row("look", namespace, w.Name, w.Waiter).Scan(&resource,
		&l.held.x, &l.held.s, &l.held.p, &l.permits, &l.dead, &holdersEnd, &l.owner,
		&l.queued.x, &l.queued.s, &l.queued.p, &waitersEnd, &l.now)
	l.resource = resource.Int64
	for _, end := range []sql.NullInt64{holdersEnd, waitersEnd} {
		if end.Valid && (l.ends == 0 || end.Int64 < l.ends) {
			l.ends = end.Int64
		}
	}
	return l, err
}

// evict removes the dead and looks again.
func (t tx) evict(namespace string, l look, w lease.Want) (look, error) {
	for _, st := range []string{"evict_sessions", "evict_holders"} {
		if err := t.exec(st, l.resource); err != nil {
			return look{}, err
		}
	}
	return t.look(namespace, w)
}

// admits tells whether w can be granted: nobody holds or has waited for longer what excludes it.
func (l look) admits(w lease.Want) bool {
	all := counts{l.held.x + l.queued.x, l.held.s + l.queued.s, l.held.p + l.queued.p}
	switch w.Mode {
	case sqllock.ModeShared:
		return all.x+all.p == 0
	case sqllock.ModePermit:
		limit := w.Permits
		if l.held.p > 0 {
			limit = min(limit, l.permits)
		}
		return all.x+all.s == 0 && all.p < limit
	default:
		return all.x+all.s+all.p == 0
	}
}

func (l look) refusal() lease.Outcome {
	o := lease.Outcome{Verdict: lease.Held, Owner: l.owner}
	if l.ends > 0 {
		o.Expires = time.UnixMilli(l.ends)
		o.Retry = max(time.Duration(l.ends-l.now)*time.Millisecond, time.Millisecond)
	}
	return o
}
