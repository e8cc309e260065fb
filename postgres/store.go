package postgres

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sqllock/toolkit/internal/lease"
)

// store is the lock table as one Client's lease engine uses it, over two connections: one for everything that changes locks, and one
// that renews and listens, so that a renewal never waits for anything else. Where many goroutines want something at a time there is one more
// for a part of that, which another core of the server does.
type store struct {
	*TableBackend
	work  [lanes]*conn
	watch *watch
	log   *slog.Logger
}

// lanes is how many connections share what many goroutines want: each has one core of the server.
const lanes = 2

var _ lease.Store = (*store)(nil)

func newStore(t *TableBackend, log *slog.Logger) *store {
	s := &store{TableBackend: t, watch: newWatch(t.pool, t.sql), log: log}
	for lane := range s.work {
		s.work[lane] = newConn(t.pool)
	}
	return s
}

// statement is one statement of a transaction, and what to do with its rows.
type statement struct {
	name string
	args []any
	row  func(pgx.Rows) error // called for each row; nil: rows are of no interest
}

const (
	begin    = "begin isolation level read committed read write"
	commit   = "commit"
	attempts = 5 // after a deadlock or a serialization failure
)

// transact sends a transaction, and what is to run after its commit, in one round trip. It may call tx again: what that gathers
// from rows begins anew each time.
func (s *store) transact(ctx context.Context, doing string, c *conn, tx func() []statement, after ...statement) error {
	for try := 1; ; try++ {
		err := c.use(ctx, func(pg *pgx.Conn) error { return s.send(ctx, pg, tx(), after) })
		if code := sqlState(err); try == attempts || code != serializationFailure && code != deadlockDetected {
			return s.explain(doing, err)
		}
		select {
		case <-time.After(time.Duration(rand.Int64N(int64(time.Millisecond) << try))):
		case <-ctx.Done():
			return s.explain(doing, err)
		}
	}
}

// one is a transaction of one statement without rows of interest.
func one(name string, args ...any) func() []statement {
	return func() []statement { return []statement{{name, args, nil}} }
}

func (s *store) send(ctx context.Context, pg *pgx.Conn, tx, after []statement) error {
	batch := new(pgx.Batch)
	batch.Queue(begin)
	for _, st := range tx {
		batch.Queue(s.sql[st.name], st.args...)
	}
	batch.Queue(commit)
	for _, st := range after {
		batch.Queue(s.sql[st.name], st.args...)
	}
	results := pg.SendBatch(ctx, batch)
	err := s.receive(results, tx, after)
	if closeErr := results.Close(); err == nil {
		err = closeErr
	}
	return err
}

func (s *store) receive(results pgx.BatchResults, tx, after []statement) error {
	if _, err := results.Exec(); err != nil {
		return err
	}
	for _, st := range tx {
		if err := receiveRows(results, st); err != nil {
			return err
		}
	}
	if _, err := results.Exec(); err != nil {
		return err
	}
	for _, st := range after {
		if err := receiveRows(results, st); err != nil {
			return err
		}
	}
	return nil
}

func receiveRows(results pgx.BatchResults, st statement) error {
	rows, err := results.Query()
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if st.row == nil {
			continue
		}
		if err := st.row(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

func (s *store) Open(ctx context.Context, id lease.SessionID, owner string, ttl time.Duration) error {
	if err := s.Check(ctx); err != nil {
		return err
	}
	return s.transact(ctx, "open session", s.work[0], one("open", id, owner, ttl.Microseconds()))
}

func (s *store) Renew(ctx context.Context, id lease.SessionID, ttl time.Duration) (epoch int64, err error) {
	found := false
	err = s.watch.interrupting(func(c *conn) error {
		return s.transact(ctx, "renew", c, func() []statement {
			found = false
			return []statement{{"renew", []any{id, ttl.Microseconds()}, func(r pgx.Rows) error {
				found = true
				return r.Scan(&epoch, nil)
			}}}
		})
	})
	if err == nil && !found {
		err = lease.ErrGone
	}
	return epoch, err
}

func (s *store) Reconcile(ctx context.Context, id lease.SessionID, epoch int64, known []lease.Ref) (raised int64, present []lease.Ref, err error) {
	resources, tokens := columns(known)
	found := false
	var freed []int64
	err = s.transact(ctx, "reconcile", s.work[0], func() []statement {
		found, present, freed = false, nil, nil
		return []statement{
			{"claim", []any{id}, nil},
			{"reconcile_epoch", []any{id}, func(r pgx.Rows) error {
				found = true
				return r.Scan(&raised)
			}},
			{"reconcile", []any{id, resources, tokens, epoch + 1}, func(r pgx.Rows) error {
				var ref lease.Ref
				var isKnown bool
				err := r.Scan(&ref.Resource, &ref.Token, &isKnown)
				if isKnown {
					present = append(present, ref)
				} else {
					freed = append(freed, ref.Resource)
				}
				return err
			}},
			{"reconcile_lines", []any{id, epoch + 1}, appendInt(&freed)},
		}
	})
	switch {
	case err != nil:
	case !found:
		err = lease.ErrGone
	case raised != epoch+1:
		err = lease.ErrStale
	case len(freed) > 0:
		err = s.Wake(ctx, freed)
	}
	return raised, present, err
}

func (s *store) End(ctx context.Context, id lease.SessionID) error {
	var freed []int64
	err := s.transact(ctx, "end session", s.work[0], func() []statement {
		freed = nil
		return []statement{
			{"claim", []any{id}, nil},
			{"leave_lines", []any{id}, appendInt(&freed)},
			{"end_holders", []any{id}, appendInt(&freed)},
			{"end_session", []any{id}, nil},
		}
	})
	if err == nil && len(freed) > 0 {
		err = s.Wake(ctx, freed)
	}
	return err
}

func (s *store) Seed(ctx context.Context, names []string) error {
	return s.transact(ctx, "seed", s.work[0], one("seed", s.opts.namespace, names))
}

func (s *store) Enlist(ctx context.Context, id lease.SessionID, epoch int64, wants []lease.Want) (waiters []int64, err error) {
	a := arrays(wants)
	err = s.transact(ctx, "enlist", s.work[0], func() []statement {
		waiters = nil
		return []statement{{"enlist", []any{s.opts.namespace, a.names, id, epoch, a.modes, a.permits}, func(r pgx.Rows) error {
			var waiter int64
			err := r.Scan(&waiter, nil)
			waiters = append(waiters, waiter)
			return err
		}}}
	})
	return waiters, err
}

func (s *store) Delist(ctx context.Context, waiters []int64) error {
	var freed []int64
	err := s.transact(ctx, "delist", s.work[0], func() []statement {
		freed = nil
		return []statement{{"delist", []any{waiters}, appendInt(&freed)}}
	})
	if err == nil && len(freed) > 0 {
		err = s.Wake(ctx, freed)
	}
	return err
}

func (s *store) Wake(ctx context.Context, resources []int64) error {
	return s.transact(ctx, "wake", s.work[0], one("wake", resources))
}

// patience is how long a patient attempt waits for a resource that a transaction has locked.
const patience = "50ms"

func (s *store) Acquire(ctx context.Context, b lease.Batch) ([]lease.Outcome, error) {
	if len(b.Wants) == 1 && b.Wants[0].Waiter == 0 && !b.Patient {
		if o, err := s.acquireOne(ctx, b); err != nil || o.Verdict == lease.Granted {
			return []lease.Outcome{o}, err
		}
	}
	outcomes, expired, err := s.acquire(ctx, b, false)
	if err != nil || len(expired) == 0 {
		return outcomes, err
	}
	// Only those: what has been granted would be found held the second time.
	again := b
	again.Wants = make([]lease.Want, len(expired))
	for i, n := range expired {
		again.Wants[i] = b.Wants[n]
	}
	evicted, _, err := s.acquire(ctx, again, true)
	for i, o := range evicted {
		outcomes[expired[i]] = o
	}
	return outcomes, err
}

// acquireOne grants a name that is free, or finds out nothing but that it is not.
func (s *store) acquireOne(ctx context.Context, b lease.Batch) (o lease.Outcome, err error) {
	w := b.Wants[0]
	err = s.transact(ctx, "acquire", s.work[b.Lane], func() []statement {
		o = lease.Outcome{}
		return []statement{
			{name: "settings"},
			{"lock_one", []any{s.opts.namespace, w.Name, b.Session, b.Epoch}, nil},
			{"grant_one", []any{
				s.opts.namespace, w.Name, b.Session, lease.ModeLetter(w.Mode), w.Permits, w.AtLeast.Microseconds(), lease.EncodeMetadata(w.Metadata),
			}, func(r pgx.Rows) error {
				o.Verdict = lease.Granted
				return r.Scan(&o.Ref.Resource, &o.Ref.Token, nil)
			}},
		}
	})
	return o, err
}

// acquire makes one attempt, and tells which wants have dead holders in their way. Those are evicted only if it is known that there
// are any: it costs two more statements.
func (s *store) acquire(ctx context.Context, b lease.Batch, evict bool) (outcomes []lease.Outcome, expired []int64, err error) {
	a := arrays(b.Wants)
	lock := statement{"lock", []any{s.opts.namespace, a.names, b.Session, b.Epoch}, nil}
	var tx []statement
	if b.Patient {
		lock.name = "lock_patient"
		tx = append(tx, statement{"patience", []any{patience}, nil})
	}
	tx = append(tx, lock)
	if evict {
		tx = append(tx, statement{name: "evict_sessions"}, statement{name: "evict_holders"})
	}
	outcomes = make([]lease.Outcome, len(b.Wants))
	stale := false
	grant := statement{"grant", []any{s.opts.namespace, a.names, b.Session, a.modes, a.permits, a.keep, a.metadata, a.waiters}, func(r pgx.Rows) error {
		n, verdict, o, err := scanOutcome(r)
		if err != nil {
			return err
		}
		stale = stale || verdict == "stale"
		if verdict == "expired" {
			expired = append(expired, n-1)
		}
		outcomes[n-1] = o
		return nil
	}}
	err = s.transact(ctx, "acquire", s.work[b.Lane], func() []statement {
		stale, expired = false, nil
		return append(tx, grant)
	})
	switch {
	case b.Patient && sqlState(err) == lockNotAvailable:
		return busy(len(b.Wants)), nil, nil
	case err == nil && stale:
		return nil, nil, lease.ErrStale
	}
	return outcomes, expired, err
}

// verdicts by their name in grant.sql. What is expired even after an eviction is guarded by a transaction.
var verdicts = map[string]lease.Verdict{
	"granted": lease.Granted, "held": lease.Held, "expired": lease.Busy, "busy": lease.Busy, "unseeded": lease.Unseeded,
}

// scanOutcome reads a row of grant.sql. n counts from 1.
func scanOutcome(r pgx.Rows) (n int64, verdict string, o lease.Outcome, err error) {
	var ends *time.Time
	var seconds float64
	if err := r.Scan(&n, &verdict, &o.Ref.Resource, &o.Ref.Token, &o.Owner, &ends, &seconds, nil); err != nil {
		return 0, "", o, err
	}
	o.Verdict = verdicts[verdict]
	if ends != nil {
		o.Expires = *ends
		o.Retry = max(time.Duration(seconds*float64(time.Second)), time.Millisecond)
	}
	return n, verdict, o, nil
}

func busy(n int) []lease.Outcome {
	outcomes := make([]lease.Outcome, n)
	for i := range outcomes {
		outcomes[i].Verdict = lease.Busy
	}
	return outcomes
}

var fates = map[string]lease.Freed{"missing": lease.Missing, "guarded": lease.Guarded, "released": lease.Released}

func (s *store) Release(ctx context.Context, lane int, refs []lease.Ref) (freed []lease.Freed, err error) {
	resources, tokens := columns(refs)
	durable := "on"
	if s.watch.noticesCrash.Load() {
		durable = "off"
	}
	if len(refs) == 1 {
		if ok, err := s.releaseOne(ctx, lane, refs[0], durable); ok || err != nil {
			return []lease.Freed{lease.Released}, err
		}
	}
	err = s.transact(ctx, "release", s.work[lane], func() []statement {
		freed = make([]lease.Freed, len(refs))
		return []statement{{"release", []any{resources, tokens, durable}, func(r pgx.Rows) error {
			var n int64 // counts from 1
			var what string
			if err := r.Scan(&n, &what, nil); err != nil {
				return err
			}
			freed[n-1] = fates[what]
			return nil
		}}}
	}, statement{"wake", []any{resources}, nil})
	return freed, err
}

// Lanes implements [lease.Store].
func (s *store) Lanes() int { return lanes }

// releaseOne gives up one holder, and says not ok where it is gone, or guarded, or to be kept.
func (s *store) releaseOne(ctx context.Context, lane int, ref lease.Ref, durable string) (ok bool, err error) {
	err = s.transact(ctx, "release", s.work[lane], func() []statement {
		ok = false
		return []statement{{name: "settings"}, {"release_one", []any{ref.Resource, ref.Token, durable}, func(pgx.Rows) error {
			ok = true
			return nil
		}}}
	}, statement{name: "settings"}, statement{"wake", []any{[]int64{ref.Resource}}, nil}) // what follows a commit is a transaction too
	return ok, err
}

func (s *store) Collect(ctx context.Context) error {
	return s.transact(ctx, "collect", s.work[0], func() []statement {
		return []statement{{name: "collect_sessions"}, {name: "collect_waiters"}}
	})
}

// Check looks at the schema each time: a session is opened rarely, and the tables may have been migrated meanwhile.
func (s *store) Check(ctx context.Context) error {
	return s.work[0].use(ctx, func(pg *pgx.Conn) error { return s.checkSchema(ctx, pg) })
}

func (s *store) Poll() time.Duration { return s.opts.poll }

func (s *store) Permanent(err error) bool { return permanent(err) }

func (s *store) Close() error {
	s.watch.conn.close()
	for _, c := range s.work {
		c.close()
	}
	return nil
}

func appendInt(to *[]int64) func(pgx.Rows) error {
	return func(r pgx.Rows) error {
		var n int64
		err := r.Scan(&n)
		*to = append(*to, n)
		return err
	}
}

func columns(refs []lease.Ref) (resources, tokens []int64) {
	resources, tokens = make([]int64, len(refs)), make([]int64, len(refs))
	for i, ref := range refs {
		resources[i], tokens[i] = ref.Resource, ref.Token
	}
	return resources, tokens
}

// wantArrays are wants as the array parameters of a statement.
type wantArrays struct {
	names, modes []string
	permits      []int32
	keep         []int64
	metadata     []*string
	waiters      []int64
}

func arrays(wants []lease.Want) wantArrays {
	n := len(wants)
	a := wantArrays{make([]string, n), make([]string, n), make([]int32, n), make([]int64, n), make([]*string, n), make([]int64, n)}
	for i, w := range wants {
		a.names[i], a.modes[i], a.permits[i] = w.Name, lease.ModeLetter(w.Mode), int32(w.Permits)
		a.keep[i], a.metadata[i], a.waiters[i] = w.AtLeast.Microseconds(), lease.EncodeMetadata(w.Metadata), w.Waiter
	}
	return a
}
