package advisory

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strconv"
	"sync"
	"time"

	"github.com/sqllock/toolkit/sqllock"
)

// Config is what a backend gives its sessions.
type Config struct {
	sqllock.SessionConfig
	Connector
	Key      func(name string) int64
	Poll     time.Duration // how often waiters try although nothing was pushed
	MaxLocks int           // of the server's, beyond which nothing more is asked for
	Name     func(ctx context.Context, seen []Named) error
	List     func(ctx context.Context, known []Named) ([]sqllock.LockInfo, error)
	Sentinel bool
}

// Session is one Client's side of the server: one connection, which carries everything that the Client holds and waits for.
// It implements [sqllock.Session].
type Session struct {
	cfg Config

	life context.Context // ends with Close
	die  context.CancelFunc

	mu       sync.Mutex
	closed   bool
	drained  chan struct{} // closed when nothing is left to do after Close
	link     *link
	dialling bool
	pause    time.Duration // before the next dialling
	redial   sqllock.Timer
	poll     sqllock.Timer
	polling  bool
	entries  map[int64]*entry
	locks    int // of the server's, held or about to be

	leaving, entering, asking []*op
	flying                    *batch
	check                     check // of what the session really holds
	ping                      bool
	trip                      time.Duration // of a batch, on average
	at                        time.Duration // when the last one was answered
	waiters                   int
	gather                    int           // so many ops are expected before the next batch leaves
	busy                      time.Duration // when there was last anything to do
	forcing                   map[string]*force
	watch                     *sentinel

	// For when mu is not held any more.
	finished []*op
	losses   []loss

	dials sync.WaitGroup
}

var _ sqllock.Session = (*Session)(nil)

// loss is something to tell a holder.
type loss struct {
	holder sqllock.Holder
	reason error
}

// maxBatch is how many ops travel together at most, and gathering up to how many wait for each other.
const (
	maxBatch  = 1024
	gathering = 32
)

// Open makes a session. It connects when it is first needed.
func Open(cfg Config) *Session {
	s := &Session{cfg: cfg, entries: make(map[int64]*entry), forcing: make(map[string]*force)}
	s.life, s.die = context.WithCancel(context.Background())
	return s
}

func (s *Session) now() time.Duration { return s.cfg.Clock.Now() }

// outbox is what a critical section leaves to be done when the mutex is free again.
type outbox struct {
	batch    *batch
	resume   *link // whose own reader is to read
	finished []*op
	losses   []loss
}

// pack takes what has gathered.
func (s *Session) pack() outbox {
	box := outbox{batch: s.depart(), finished: s.finished, losses: s.losses}
	s.finished, s.losses = nil, nil
	if s.drained != nil && s.flying == nil && (s.link == nil || len(s.leaving) == 0) {
		close(s.drained)
		s.drained = nil
	}
	return box
}

func (o outbox) deliver() {
	if o.batch != nil {
		o.batch.link.send(o.batch)
	}
	if o.resume != nil {
		select {
		case o.resume.resume <- struct{}{}:
		default:
		}
	}
	for _, op := range o.finished {
		op.done <- struct{}{}
	}
	for _, l := range o.losses {
		l.holder.Lost(l.reason)
	}
}

// unlock ends a critical section.
func (s *Session) unlock() {
	box := s.pack()
	if b := box.batch; b != nil && !b.link.reading {
		b.link.reading = true
		box.resume = b.link
	}
	s.mu.Unlock()
	box.deliver()
}

// unlockAndAwait ends a critical section in which o was submitted, and waits for it. Who is alone reads the answer themselves.
func (s *Session) unlockAndAwait(ctx context.Context, o *op) error {
	box := s.pack()
	b := box.batch
	o.leads = b != nil && !b.link.reading && !s.attentive()
	if b != nil && !b.link.reading {
		b.link.reading = true
		if !o.leads {
			box.resume = b.link
		}
	}
	leads := o.leads
	s.mu.Unlock()
	box.deliver()
	if leads && s.lead(ctx, b.link, o) {
		return nil
	}
	return s.await(ctx, o)
}

// lead reads until o is answered, and reports whether it is. When ctx ends first, somebody else reads on.
func (s *Session) lead(ctx context.Context, l *link, o *op) bool {
	if ctx.Done() != nil {
		stop := context.AfterFunc(ctx, func() { _ = l.conn.SetReadDeadline(time.Unix(1, 0)) })
		defer stop() // if that comes too late, the next to read finds a deadline that is not meant for it, and takes it away
	}
	err := l.receive(ctx, s, o)
	switch {
	case err == nil:
		return true
	case errors.Is(err, errInterrupted):
		s.mu.Lock()
		o.leads = false
		s.mu.Unlock()
		outbox{resume: l}.deliver()
		return false
	default:
		l.end(s, err)
		return true
	}
}

// claim makes the link's own reader the one who reads, if nobody does.
func (s *Session) claim(l *link) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l.reading {
		return false
	}
	l.reading = true
	return true
}

// attentive tells whether notifications are waited for.
func (s *Session) attentive() bool { return s.waiters > 0 || len(s.forcing) > 0 }

// depart makes a batch of what has gathered, unless one is on its way.
func (s *Session) depart() *batch {
	if s.flying != nil {
		return nil
	}
	if len(s.leaving)+len(s.entering) < s.gather {
		return nil
	}
	s.gather = 0
	if s.link == nil {
		if len(s.leaving)+len(s.entering)+len(s.asking) > 0 {
			s.dial()
		}
		return nil
	}
	b := &batch{link: s.link, sent: s.now()}
	switch {
	case s.check.due():
		s.check.add(b)
	case s.check.blocks():
		return nil
	case len(s.leaving)+len(s.entering)+len(s.asking) > 0:
		s.load(b)
	case s.ping:
		b.ping = true
	default:
		return nil
	}
	if s.link.proxied {
		b.identify()
	}
	if s.flying, s.ping = b, false; !b.ping {
		s.busy = b.sent
	}
	s.link.flying.Store(b)
	return b
}

// load takes ops into a batch, those of one kind into one statement where there is one for many.
func (s *Session) load(b *batch) {
	var delists, enlists, unlocks, unshares, locks, shares, permits []*op
	for _, o := range take(&s.leaving) {
		if l := o.entry.line; o.kind == delist || o.last && l != nil && l.enlisted && len(l.waiters) == 0 {
			o.intend = l.intent
			delists = append(delists, o)
		}
		switch {
		case o.kind == delist:
		case o.hold.req.Mode == sqllock.ModeExclusive:
			unlocks = append(unlocks, o)
		default:
			unshares = append(unshares, o)
		}
	}
	for _, o := range take(&s.entering) {
		if o.tells {
			o.enlist = true
			enlists = append(enlists, o)
			continue
		}
		l := o.entry.line
		early := o.req.Waits && l != nil && l.contended > b.sent
		o.enlist = (o.waiter != nil || early) && !l.enlisted
		if w := o.waiter; w != nil {
			o.intend = !o.entry.line.intent && o.req.Mode == sqllock.ModeExclusive
			o.yields = w.yields
		}
		if o.enlist || o.intend {
			enlists = append(enlists, o)
		}
		switch o.req.Mode {
		case sqllock.ModeShared:
			shares = append(shares, o)
		case sqllock.ModePermit:
			permits = append(permits, o)
		default:
			locks = append(locks, o)
		}
	}
	b.add(changing, "delist", delists...)
	b.addOneOrMany("unlock", unlocks)
	b.add(changing, "unshare", unshares...)
	b.add(changing, "enlist", enlists...)
	b.addOneOrMany("lock", locks)
	b.add(changing, "share", shares...)
	for _, o := range permits {
		o.slots = o.entry.freeSlots(o.req.Permits, rand.New(s.cfg.Rand).IntN(o.req.Permits))
		b.add(changing, "permit", o)
	}
	for _, o := range take(&s.asking) {
		b.add(asking, questions[o.kind], o)
	}
}

// questions are the statements of ops that change nothing.
var questions = map[kind]string{unguarded: "unguarded", notify: "notify", holders: "holders"}

func take(from *[]*op) []*op {
	ops := *from
	if len(ops) <= maxBatch {
		*from = nil
		return ops
	}
	*from = ops[maxBatch:]
	return ops[:maxBatch:maxBatch]
}

// arrived takes in the answers to all of a batch, read by the caller that waits for own, if any. It reports whether that one has read enough.
// An error ends the session.
func (s *Session) arrived(l *link, b *batch, now time.Duration, own *op) (enough bool, err error) {
	s.mu.Lock()
	if s.link != l || s.flying != b {
		s.mu.Unlock()
		return false, nil // the connection is closed
	}
	s.flying, s.at = nil, now
	l.flying.Store(nil)
	s.trip += (now - b.sent - s.trip) / 8
	if err := s.check.arrived(s, b); err != nil {
		s.mu.Unlock()
		return false, err
	}
	for _, calls := range b.groups {
		for _, c := range calls {
			for _, o := range c.ops {
				switch {
				case c.name == "enlist":
					s.enlisted(o)
				case c.name == "delist" && o.kind == release:
					o.entry.line.enlisted, o.entry.line.intent = false, false
				default:
					s.settle(o)
				}
			}
		}
	}
	if n := len(s.finished); own == nil && n > 1 && n <= gathering {
		s.gatherAnswered()
	}
	box := s.pack()
	needed := s.flying != nil || s.attentive()
	switch {
	case own == nil:
		enough = !needed
	case own.settled:
		enough = true
		if needed {
			box.resume = l
		}
	}
	if !needed {
		l.reading = !enough
	}
	s.mu.Unlock()
	box.deliver()
	return enough, nil
}

// gatherAnswered lets those who have just been answered say what they want next, so that it travels together: what a batch costs does not depend
// much on how many share it. Whoever is the last of them sends it, at the latest the reader when its turn has come again.
// Larger batches leave at once: then the server is busy while the others gather.
func (s *Session) gatherAnswered() {
	finished := s.finished
	s.finished = nil
	s.gather = len(finished) + len(s.leaving) + len(s.entering)
	s.mu.Unlock()
	outbox{finished: finished}.deliver()
	runtime.Gosched()
	s.mu.Lock()
	s.gather = 0
}

// submit lets an op go to the server once nothing else of its key is on its way.
func (s *Session) submit(o *op) {
	e := o.entry
	if e == nil {
		s.asking = append(s.asking, o)
		return
	}
	if e.busy != nil {
		l := e.queue()
		l.pending = append(l.pending, o)
		return
	}
	s.begin(o)
}

// begin sends an op, or answers it without asking the server.
func (s *Session) begin(o *op) {
	e := o.entry
	if o.abandoned || o.waiter != nil && o.waiter.ended {
		s.finish(o, nil)
		s.follow(e)
		return
	}
	switch o.kind {
	case attempt:
		s.beginAttempt(o)
	case release:
		if o.hold.link != s.link {
			s.finish(o, o.hold.lost(o.hold.Err()))
			s.follow(e)
			return
		}
		if o.last = e.count == 1; !o.last && e.mode == sqllock.ModeShared {
			s.drop(o.hold) // others of this session go on reading
			s.finish(o, nil)
			s.follow(e)
			return
		}
		e.busy = o
		s.leaving = append(s.leaving, o)
	case delist:
		l := e.line
		if l == nil || !l.enlisted || len(l.waiters) > 0 {
			s.finish(o, nil)
			s.follow(e)
			return
		}
		o.intend = l.intent
		e.busy = o
		s.leaving = append(s.leaving, o)
	case unguarded:
		if e.count == 0 {
			s.finish(o, nil)
			s.forced(o)
			s.follow(e)
			return
		}
		e.busy = o
		s.asking = append(s.asking, o)
	default:
		e.busy = o
		s.asking = append(s.asking, o)
	}
}

func (s *Session) beginAttempt(o *op) {
	e := o.entry
	var refusal error
	switch {
	case s.closed:
		refusal = sqllock.ErrClosed
	case e.count > 0 && e.mode == sqllock.ModePermit && o.req.Mode == sqllock.ModePermit && e.permits() != o.req.Permits:
		refusal = fmt.Errorf("postgres: %w: %q is held with Permits(%d) by this process, and session locks need the same number everywhere; use a Table",
			sqllock.ErrUnsupported, o.req.Name, e.permits())
	case o.req.Mode == sqllock.ModePermit && o.req.Permits > MaxPermits:
		refusal = fmt.Errorf("postgres: %w: Permits(%d) of session locks: at most %d; use a Table", sqllock.ErrUnsupported, o.req.Permits, MaxPermits)
	case !e.admits(o.req):
		refusal = &sqllock.HeldError{Name: o.req.Name, Owner: s.cfg.Owner}
	case s.locks+cost(o.req.Mode, e.count+1)-cost(o.req.Mode, e.count) > s.cfg.MaxLocks:
		refusal = fmt.Errorf("postgres: %w: this Client has %d locks of the server's, and MaxLocks is %d; a default server has room for some 12,000 in all: "+
			"raise its max_locks_per_transaction before MaxLocks", sqllock.ErrTooMany, s.locks, s.cfg.MaxLocks)
	}
	if refusal != nil {
		s.conclude(o, nil, refusal)
		s.follow(e)
		return
	}
	e.busy = o
	if l := e.line; l != nil && l.after > s.now() {
		if o.req.Waits && !l.enlisted && !o.told {
			// Those who go first see that they are not alone, and leave us our turn after theirs.
			o.tells, o.told = true, true
			s.entering = append(s.entering, o)
			return
		}
		s.park(o, l.after-s.now())
		return
	}
	o.join = e.count > 0
	o.cost = cost(o.req.Mode, e.count+1) - cost(o.req.Mode, e.count)
	s.locks += o.cost
	s.entering = append(s.entering, o)
}

// park sends an attempt later. Its key is busy until then.
func (s *Session) park(o *op, d time.Duration) {
	o.parked, o.timed = true, true
	s.cfg.Clock.AfterFunc(d, func() {
		s.mu.Lock()
		defer s.unlock()
		s.unpark(o)
	})
}

func (s *Session) unpark(o *op) {
	if o.parked && o.entry.busy == o {
		o.parked, o.entry.busy = false, nil
		s.begin(o)
	}
}

// follow sends what has waited for its turn at e, or forgets e.
func (s *Session) follow(e *entry) {
	if e.busy != nil {
		return
	}
	if l := e.line; l != nil && len(l.pending) > 0 {
		o := l.pending[0]
		l.pending = l.pending[1:]
		s.begin(o)
		return
	}
	if s.entries[e.key] == e && e.empty() && (e.line == nil || e.line.contended == 0 || e.line.contended < s.now()) {
		delete(s.entries, e.key)
	}
}

// settle takes in the answer to an op.
func (s *Session) settle(o *op) {
	e := o.entry
	if o.err != nil {
		s.check.want()
	} else if !o.answered {
		o.err = errors.New("postgres: the server has not answered")
		s.check.want()
	}
	if e != nil {
		e.busy = nil
	}
	switch o.kind {
	case attempt:
		s.tried(o)
	case release:
		s.released(o)
	case delist:
		e.line.enlisted, e.line.intent = false, false
		s.finish(o, nil)
	case unguarded:
		s.finish(o, o.err)
		s.forced(o)
	default:
		s.finish(o, o.err)
	}
	if e != nil {
		s.follow(e)
	}
}

func (s *Session) enlisted(o *op) {
	if o.err == nil {
		l := o.entry.line
		l.enlisted = true
		l.intent = l.intent || o.intent
	}
	if !o.tells {
		return // its attempt follows
	}
	o.tells, o.entry.busy = false, nil
	if o.err != nil {
		s.check.want()
		s.conclude(o, nil, explain("acquire", o.err))
		s.follow(o.entry)
		return
	}
	s.unlist(o.entry) // if nobody waits by then
	s.begin(o)
}

// tried takes in the answer to an attempt.
func (s *Session) tried(o *op) {
	switch {
	case o.err != nil:
		s.conclude(o, nil, explain("acquire", o.err))
	case o.null:
		s.conclude(o, nil, &sqllock.HeldError{Name: o.req.Name})
	case o.code == yielded:
		s.conclude(o, nil, &sqllock.HeldError{Name: o.req.Name, Detail: detailYielded})
	case o.code == guarded && o.waiter == nil && o.req.Mode != sqllock.ModeExclusive && o.tries < 4:
		// Perhaps nothing but another's test, which takes an instant.
		s.locks -= o.cost
		o.cost = 0
		if o.enlist { // which the next attempt will not know
			s.unlist(o.entry)
		}
		o.tries++
		o.answered = false
		o.entry.busy = o
		s.park(o, time.Millisecond<<o.tries/2)
		return
	case o.code == guarded:
		s.conclude(o, nil, &sqllock.HeldError{Name: o.req.Name, Detail: detailGuarded})
	default:
		h := &Hold{
			link: s.link, entry: o.entry, req: o.req, token: o.code, since: s.at, slot: o.slot,
		}
		o.entry.add(h)
		s.conclude(o, h, nil)
		if (o.enlist || o.told) && o.req.Mode != sqllock.ModeExclusive { // see leaveLine
			s.submit(&op{kind: delist, entry: o.entry})
		}
		return
	}
	s.locks -= o.cost
	if o.enlist && o.waiter == nil {
		s.unlist(o.entry)
	}
}

// conclude ends an attempt, or with a waiter one of several.
func (s *Session) conclude(o *op, h *Hold, err error) {
	if o.waiter != nil && !o.abandoned {
		s.attempted(o.waiter, h, err)
		return
	}
	o.granted = h
	if o.abandoned && h != nil {
		s.giveBack(h)
	}
	s.finish(o, err)
}

// giveBack releases what nobody wants any more.
func (s *Session) giveBack(h *Hold) {
	h.leaving = true
	s.submit(&op{kind: release, entry: h.entry, hold: h, abandoned: false})
}

// finish answers whoever waits for the op.
func (s *Session) finish(o *op, err error) {
	if o.settled {
		return
	}
	o.settled, o.err = true, err
	if o.done != nil && !o.abandoned && !o.leads {
		s.finished = append(s.finished, o)
	}
}

// await waits for an op of which somebody is to be told. When ctx ends first the op is abandoned.
func (s *Session) await(ctx context.Context, o *op) error {
	select {
	case <-o.done:
		o.received = true
		return nil
	case <-ctx.Done():
	}
	s.mu.Lock()
	defer s.unlock()
	if o.settled {
		return nil
	}
	o.abandoned = o.kind != release
	return context.Cause(ctx)
}

// released takes in the answer to a release.
func (s *Session) released(o *op) {
	e, h := o.entry, o.hold
	s.drop(h)
	var err error
	switch {
	case o.err != nil:
		// Whether it is still ours will be found out, and if so it is given up.
		err = fmt.Errorf("postgres: release: %w", o.err)
	case o.code == notHeld:
		s.check.want()
		err = h.lost(sqllock.ErrEvicted)
	case o.code == notified:
		// Whoever releases is nearer to the next grant than those who have just been told. They go first.
		e.queue().after = s.at + 2*s.trip + time.Millisecond
		s.contend(e)
	}
	if o.unheard {
		what := otherGone
		if h.req.Mode == sqllock.ModeExclusive {
			what = writerGone
		}
		s.submit(&op{kind: notify, message: string(what) + FormatKey(e.key)})
	}
	s.finish(o, err)
	s.acknowledge(e)
	s.wake(e, false)
}

// drop forgets a hold.
func (s *Session) drop(h *Hold) {
	e := h.entry
	s.locks -= cost(e.mode, e.count) - cost(e.mode, e.count-1)
	e.remove(h)
}

// entry returns what the session has to do with a key.
func (s *Session) entry(key int64) *entry {
	e := s.entries[key]
	if e == nil {
		e = &entry{keys: keysOf(key)}
		s.entries[key] = e
	}
	return e
}

// Try implements [sqllock.Session].
func (s *Session) Try(ctx context.Context, reqs []*sqllock.Request, results []sqllock.Result) {
	if len(reqs) == 1 {
		s.mu.Lock()
		o := s.submitAttempt(reqs[0])
		err := s.unlockAndAwait(ctx, o)
		results[0] = o.result(err)
		o.recycle(err)
		return
	}
	ops := make([]*op, len(reqs))
	s.mu.Lock()
	for i, req := range reqs {
		ops[i] = s.submitAttempt(req)
	}
	s.unlock()
	for i, o := range ops {
		results[i] = o.result(s.await(ctx, o))
	}
}

func (s *Session) submitAttempt(req *sqllock.Request) *op {
	o := newOp(attempt, s.entry(keyOf(req)))
	o.req, o.yields = req, req.Mode != sqllock.ModeExclusive
	s.submit(o)
	return o
}

// keyOf reads what [Config.Key] has made of the name.
func keyOf(req *sqllock.Request) int64 {
	key, err := strconv.ParseInt(req.Key, 10, 64)
	if err != nil {
		panic("postgres: the key " + req.Key + " is not of this backend") // a bug in package sqllock
	}
	return key
}

// result is the outcome of an attempt that was awaited with err.
func (o *op) result(err error) sqllock.Result {
	switch {
	case err != nil:
		return sqllock.Result{Err: &sqllock.HeldError{Name: o.req.Name, Cause: err}}
	case o.err != nil:
		return sqllock.Result{Err: o.err}
	default:
		return sqllock.Result{Hold: o.granted}
	}
}

// Release implements [sqllock.Session].
func (s *Session) Release(ctx context.Context, holds []sqllock.Hold, results []error) {
	if len(holds) == 1 {
		s.mu.Lock()
		o, err := s.submitRelease(holds[0].(*Hold))
		if o == nil {
			s.unlock()
			results[0] = err
			return
		}
		err = s.unlockAndAwait(ctx, o)
		results[0] = o.outcome(err)
		o.recycle(err)
		return
	}
	ops := make([]*op, len(holds))
	s.mu.Lock()
	for i, h := range holds {
		ops[i], results[i] = s.submitRelease(h.(*Hold))
	}
	s.unlock()
	for i, o := range ops {
		if o != nil {
			results[i] = o.outcome(s.await(ctx, o))
		}
	}
}

// submitRelease returns nil if there is nothing to release any more.
func (s *Session) submitRelease(h *Hold) (*op, error) {
	if ended := h.ended.Load(); ended != nil {
		return nil, h.lost(*ended)
	}
	if h.leaving {
		return nil, nil
	}
	h.leaving = true
	o := newOp(release, h.entry)
	o.hold = h
	s.submit(o)
	return o, nil
}

// outcome is that of a release that was awaited with err. The release itself goes on when the context has ended.
func (o *op) outcome(err error) error {
	if err != nil {
		return fmt.Errorf("postgres: release: %w", err)
	}
	return o.err
}

// Ping implements [sqllock.Session].
func (s *Session) Ping(ctx context.Context) error {
	o := newOp(holders, nil)
	o.entry = &entry{keys: keys{key: 0}}
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return sqllock.ErrClosed
	}
	s.submit(o)
	s.unlock()
	if err := s.await(ctx, o); err != nil {
		return fmt.Errorf("postgres: the server has not answered: %w", err)
	}
	if o.err != nil {
		return explain("ping", o.err)
	}
	return nil
}

// Locks implements [sqllock.Session].
func (s *Session) Locks(ctx context.Context) ([]sqllock.LockInfo, error) {
	s.mu.Lock()
	known := make([]Named, 0, len(s.entries))
	for _, e := range s.entries {
		if name := e.name(); name != "" {
			known = append(known, Named{e.key, name})
		}
	}
	s.mu.Unlock()
	infos, err := s.cfg.List(ctx, known)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.annotate(infos), nil
}
