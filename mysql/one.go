package mysql

import (
	"context"

	"github.com/sqllock/toolkit/internal/lease"
	"github.com/sqllock/toolkit/sqllock"
)

// acquireOne makes an attempt at one name that is probably free. Then it needs none of the tables that the server makes of a parameter
// for statements about many names, and none of what decides between those who compete: that is most of what an attempt costs. It says
// not ok where it takes more to know.
func (s *store) acquireOne(ctx context.Context, b lease.Batch) (outcome lease.Outcome, ok bool, err error) {
	w := b.Wants[0]
	keep := w.AtLeast.Microseconds()
	var session, granted bool
	var ref lease.Ref
	err = s.transact(ctx, "acquire", s.pool, func() []statement {
		return []statement{
			{name: "one_reset"},
			{name: "one_join", args: []any{b.Session, b.Epoch}},
			{name: "one_lock", args: []any{s.namespace(), []byte(w.Name)}},
			{name: "one_look"},
			{name: "one_hold", args: []any{lease.ModeLetter(w.Mode), w.Permits, lease.EncodeMetadata(w.Metadata), keep, keep}},
			{name: "one_count"},
		}
	}, statement{"one_granted", nil, into(&session, &granted, &ref.Resource, &ref.Token)})
	switch {
	case s.outrun(err):
		return lease.Outcome{Verdict: lease.Busy}, true, nil
	case err != nil:
		return outcome, false, err
	case !session:
		return outcome, false, lease.ErrStale
	case granted:
		return lease.Outcome{Verdict: lease.Granted, Ref: ref}, true, nil
	case w.Mode == sqllock.ModePermit: // others may hold some, and leave one for us
		return outcome, false, nil
	}
	outcomes := make([]lease.Outcome, 1)
	_, err = s.refused(ctx, b, "", outcomes)
	return outcomes[0], outcomes[0].Verdict == lease.Held, err
}

// releaseOne gives up one holder, and says not ok where it is gone, or guarded, or to be kept.
func (s *store) releaseOne(ctx context.Context, ref lease.Ref) (ok bool, err error) {
	var waiters bool
	err = s.transact(ctx, "release", s.pool, func() []statement {
		return []statement{
			{name: "one_reset"},
			{name: "one_mine", args: []any{ref.Resource, ref.Token}},
			{name: "one_release", args: []any{ref.Resource}},
		}
	}, statement{"one_released", []any{ref.Resource}, into(&ok, &waiters)})
	if err == nil && ok && waiters {
		err = s.Wake(ctx, []int64{ref.Resource})
	}
	return ok, err
}
