package mysql

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sqllock/toolkit/internal/lease"
)

// store is the lock table as one Client's lease engine uses it.
type store struct {
	*TableBackend
	pool pool
	desk chan struct{} // holds a value for each caller who uses a connection directly
	log  *slog.Logger

	ringing *ringing

	warned sync.Once
}

var _ lease.Store = (*store)(nil)

func newStore(t *TableBackend, log *slog.Logger) *store {
	s := &store{TableBackend: t, pool: newPool(t.connector), desk: make(chan struct{}, deskSize), log: log}
	s.ringing = newRinging(s)
	return s
}

// Check looks each time: a session is opened rarely, and the tables may have been migrated, or the server replaced, meanwhile.
func (s *store) Check(ctx context.Context) error {
	durable, err := s.check(ctx, s.pool)
	if err == nil && !durable {
		s.warned.Do(func() {
			s.log.Warn("sqllock: innodb_flush_log_at_trx_commit is not 1: a crash of the server's machine can undo grants and renewals, " +
				"and give out tokens twice")
		})
	}
	return err
}

func (s *store) Open(ctx context.Context, id lease.SessionID, owner string, ttl time.Duration) error {
	if err := s.Check(ctx); err != nil {
		return err
	}
	open := statement{name: "open", args: []any{id, strings.ToValidUTF8(owner, "\ufffd"), ttl.Microseconds()}}
	return s.transact(ctx, "open session", s.pool, func() []statement { return []statement{open} })
}

func (s *store) Renew(ctx context.Context, id lease.SessionID, ttl time.Duration) (epoch int64, err error) {
	found := false
	err = s.run(ctx, "renew", s.pool,
		statement{name: "renew", args: []any{ttl.Microseconds(), id}},
		statement{"renewed", []any{id}, func(r *sql.Rows) error {
			found = true
			return r.Scan(&epoch)
		}})
	if err == nil && !found {
		err = lease.ErrGone
	}
	return epoch, err
}

// Reconcile raises the epoch first: from then on what the session holds can only become less, and can be read and given up at leisure.
// One that the server gets to late raises the epoch and empties the lines, which the session notices; nobody gives up what it reads.
func (s *store) Reconcile(ctx context.Context, id lease.SessionID, _ int64, known []lease.Ref) (epoch int64, present []lease.Ref, err error) {
	mine := make(map[lease.Ref]bool, len(known))
	for _, ref := range known {
		mine[ref] = true
	}
	var raised sql.NullInt64
	var unknown []lease.Ref
	var rung []listener
	err = s.transact(ctx, "reconcile", s.pool, func() []statement {
		present, unknown, rung = nil, nil, nil
		return []statement{
			{name: "reconcile_epoch", args: []any{id}},
			{name: "reconciled", args: []any{id}},
			{name: "lines", args: []any{id}},
			{name: "leave_lines", args: []any{id}},
		}
	}, statement{"epoch", nil, into(&raised)}, statement{"holders", []any{id}, func(r *sql.Rows) error {
		var ref lease.Ref
		err := r.Scan(&ref.Resource, &ref.Token)
		if mine[ref] {
			present = append(present, ref)
		} else {
			unknown = append(unknown, ref)
		}
		return err
	}}, wake(&rung))
	if err != nil {
		return 0, nil, err
	}
	s.ringing.ring(rung)
	if !raised.Valid {
		return 0, nil, lease.ErrGone
	}
	if len(unknown) > 0 {
		_, err = s.Release(ctx, 0, unknown)
	}
	return raised.Int64, present, err
}

func (s *store) End(ctx context.Context, id lease.SessionID) error {
	var rung []listener
	err := s.transact(ctx, "end session", s.pool, func() []statement {
		rung = nil
		return []statement{
			{name: "raise_epoch", args: []any{id}},
			{name: "lines", args: []any{id}},
			{name: "leave_lines", args: []any{id}},
			{name: "end_lock", args: []any{id}},
			{name: "release_keep"},
			{name: "release"},
			{name: "end_session", args: []any{id}},
			{name: "ended"},
		}
	}, wake(&rung))
	if err == nil {
		s.ringing.ring(rung)
	}
	return err
}

func (s *store) Seed(ctx context.Context, list []string) error { return s.seed(ctx, s.pool, list) }

func (t *TableBackend) seed(ctx context.Context, p pool, list []string) error {
	return t.transact(ctx, "seed", p, func() []statement {
		return []statement{names(list), {name: "seed_floor"}, {name: "seed", args: []any{t.namespace(), t.namespace()}}}
	})
}

// namespace is a parameter: bytes, so that no character set is applied to it.
func (t *TableBackend) namespace() []byte { return []byte(t.opts.namespace) }

func (s *store) Enlist(ctx context.Context, id lease.SessionID, epoch int64, list []lease.Want) (waiters []int64, err error) {
	err = s.transact(ctx, "enlist", s.pool, func() []statement {
		waiters = make([]int64, len(list))
		return []statement{
			wants(list),
			{name: "join", args: []any{id, epoch}},
			{name: "enlist", args: []any{s.namespace()}},
			{name: "enlisted_first"},
		}
	}, statement{"enlisted", []any{s.namespace()}, func(r *sql.Rows) error {
		var n int
		var waiter int64
		err := r.Scan(&n, &waiter)
		waiters[n] = waiter
		return err
	}})
	return waiters, err
}

func (s *store) Delist(ctx context.Context, waiters []int64) error {
	var rung []listener
	err := s.transact(ctx, "delist", s.pool, func() []statement {
		rung = nil
		return []statement{{name: "want", args: []any{encode(waiters)}}, {name: "delist_lines"}, {name: "delist"}}
	}, wake(&rung))
	if err == nil {
		s.ringing.ring(rung)
	}
	return err
}

func (s *store) Wake(ctx context.Context, resources []int64) error {
	list := make([]holder, len(resources))
	for i, id := range resources {
		list[i].Resource = id
	}
	var rung []listener
	err := s.run(ctx, "wake", s.pool, statement{name: "freed", args: []any{encode(list)}}, wake(&rung))
	if err == nil {
		s.ringing.ring(rung)
	}
	return err
}

// patience is how long a patient attempt tries to get hold of a resource that a transaction has locked. It does not wait in the
// server, where the shortest wait is a second.
const patience = 50 * time.Millisecond

func (s *store) Acquire(ctx context.Context, b lease.Batch) ([]lease.Outcome, error) {
	end := time.Now().Add(patience)
	for {
		outcomes, err := s.acquire(ctx, b)
		if !b.Patient || err != nil || outcomes[0].Verdict != lease.Busy || time.Now().After(end) {
			return outcomes, err
		}
		select {
		case <-time.After(patience / 10):
		case <-ctx.Done():
			return outcomes, nil
		}
	}
}

// acquire makes one attempt, and another one that evicts the dead for those who have some in their way: it costs six more statements.
func (s *store) acquire(ctx context.Context, b lease.Batch) ([]lease.Outcome, error) {
	if len(b.Wants) == 1 && b.Wants[0].Waiter == 0 {
		if o, ok, err := s.acquireOne(ctx, b); ok || err != nil {
			return []lease.Outcome{o}, err
		}
	}
	outcomes, expired, err := s.attempt(ctx, b, nil)
	if err != nil || len(expired) == 0 {
		return outcomes, err
	}
	// Only those: what has been granted would be found held the second time.
	again := b
	again.Wants = make([]lease.Want, len(expired))
	for i, n := range expired {
		again.Wants[i] = b.Wants[n]
	}
	evicted, _, err := s.attempt(ctx, again, evicting)
	for i, o := range evicted {
		outcomes[expired[i]] = o
	}
	return outcomes, err
}

// attempt sends one transaction, and tells which wants have dead holders in their way.
func (s *store) attempt(ctx context.Context, b lease.Batch, evict []statement) (outcomes []lease.Outcome, expired []int, err error) {
	var session bool
	var answer []byte
	var locked string
	err = s.transact(ctx, "acquire", s.pool, func() []statement {
		tx := []statement{
			wants(b.Wants),
			{name: "join", args: []any{b.Session, b.Epoch}},
			{name: "lock", args: []any{s.namespace()}},
		}
		tx = append(append(tx, evict...), statement{name: "grant", args: []any{s.namespace()}}, statement{name: "count"}, statement{name: "hold"})
		if slices.ContainsFunc(b.Wants, func(w lease.Want) bool { return w.Metadata != nil }) {
			tx = append(tx, statement{name: "hold_metadata"})
		}
		if slices.ContainsFunc(b.Wants, func(w lease.Want) bool { return w.Waiter != 0 }) {
			tx = append(tx, statement{name: "leave_line"})
		}
		return tx
	}, statement{"granted", nil, into(&session, &answer, &locked)})
	if s.outrun(err) {
		return slices.Repeat([]lease.Outcome{{Verdict: lease.Busy}}, len(b.Wants)), nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	if !session {
		return nil, nil, lease.ErrStale
	}
	var granted []struct {
		N int `json:"n"`
		holder
	}
	if err := json.Unmarshal(answer, &granted); err != nil {
		return nil, nil, fmt.Errorf("mysql: acquire: %w", errors.Join(errCut, err))
	}
	outcomes = make([]lease.Outcome, len(b.Wants))
	for _, g := range granted {
		outcomes[g.N] = lease.Outcome{Verdict: lease.Granted, Ref: lease.Ref(g.holder)}
	}
	if len(granted) == len(b.Wants) {
		return outcomes, nil, nil
	}
	expired, err = s.refused(ctx, b, locked, outcomes)
	return outcomes, expired, err
}

// refused fills in why those were refused that were not granted, and tells which have dead holders in their way.
func (s *store) refused(ctx context.Context, b lease.Batch, locked string, outcomes []lease.Outcome) (expired []int, err error) {
	var wants []want
	for n, o := range outcomes {
		if o.Verdict != lease.Granted {
			wants = append(wants, newWant(n, b.Wants[n]))
		}
	}
	stale, answers := false, 0
	err = s.run(ctx, "acquire", s.pool,
		statement{name: "want", args: []any{encode(wants)}},
		statement{"refused", []any{b.Session, locked, locked, s.namespace()}, func(r *sql.Rows) error {
			var f refusal
			err := f.scan(r)
			switch f.verdict {
			case "stale":
				stale = true
			case "expired":
				expired = append(expired, f.n)
			}
			outcomes[f.n] = f.outcome()
			answers++
			return err
		}})
	switch {
	case err != nil:
		return nil, err
	case stale:
		return nil, lease.ErrStale
	case answers != len(wants):
		return nil, fmt.Errorf("mysql: acquire: %w", errCut)
	}
	return expired, nil
}

// evicting removes the dead from resources that are locked.
var evicting = []statement{
	{name: "suspect_sessions"},
	{name: "condemn_sessions"},
	{name: "evict_sessions"},
	{name: "suspect_holders"},
	{name: "condemn_holders"},
	{name: "evict_holders"},
}

func (s *store) Release(ctx context.Context, _ int, refs []lease.Ref) (freed []lease.Freed, err error) {
	if len(refs) == 1 {
		if ok, err := s.releaseOne(ctx, refs[0]); ok || err != nil {
			return []lease.Freed{lease.Released}, err
		}
	}
	place := make(map[lease.Ref]int, len(refs))
	for i, ref := range refs {
		place[ref] = i
	}
	var mine []byte
	var rung []listener
	err = s.transact(ctx, "release", s.pool, func() []statement {
		rung = nil
		return []statement{{name: "want", args: []any{holders(refs)}}, {name: "release_lock"}, {name: "release_keep"}, {name: "release"}, {name: "release_freed"}}
	}, statement{"released", nil, into(&mine)}, wake(&rung))
	if err != nil {
		return nil, err
	}
	var released []holder
	if err := json.Unmarshal(mine, &released); err != nil {
		return nil, fmt.Errorf("mysql: release: %w", errors.Join(errCut, err))
	}
	s.ringing.ring(rung)
	freed = make([]lease.Freed, len(refs))
	for _, h := range released {
		freed[place[lease.Ref(h)]] = lease.Released
		delete(place, lease.Ref(h))
	}
	if len(place) == 0 {
		return freed, nil
	}
	rest := slices.Collect(maps.Keys(place))
	err = s.run(ctx, "release", s.pool, statement{name: "want", args: []any{holders(rest)}}, statement{"left_over", nil, func(r *sql.Rows) error {
		var ref lease.Ref
		err := r.Scan(&ref.Resource, &ref.Token)
		freed[place[ref]] = lease.Guarded
		return err
	}})
	return freed, err
}

// lanes is how many connections share what many goroutines want: each has one core of the server.
const lanes = 2

// Lanes implements [lease.Store]: the pool has a connection for each.
func (s *store) Lanes() int { return lanes }

func (s *store) Collect(ctx context.Context) error {
	return s.transact(ctx, "collect", s.pool, func() []statement {
		return []statement{
			{name: "expired_sessions"},
			{name: "condemn_sessions"},
			{name: "evict_sessions"},
			{name: "dead_waiters"},
			{name: "delist"},
		}
	})
}

func (s *store) Poll() time.Duration { return s.opts.poll }

func (s *store) Permanent(err error) bool { return permanent(err) }

func (s *store) Close() error {
	s.ringing.close()
	s.pool.close()
	return nil
}
