// Package leaderelect elects one leader among processes that share a database, on the locks of package sqllock. It contains no SQL and no
// driver: whatever backend the Client has is what holds the election.
//
//	elector, err := leaderelect.New(locks, "scheduler", leaderelect.Config{
//		Value: map[string]string{"address": "10.0.0.7:8080"},
//		OnElected: func(ctx context.Context, term leaderelect.Term) error {
//			return schedule(ctx) // until ctx ends: then somebody else may soon lead
//		},
//	})
//	...
//	err = elector.Run(ctx)
//
// To lead is to hold the exclusive lock of the election's name. There is no other protocol, so all that docs/leases.md and
// docs/advisory.md say of locks holds for terms.
//
// # States
//
//	Run ──▶ campaigning ──▶ elected ──▶ leading ──▶ ending ──▶ released ──▶ pausing
//	             ▲             │                                   ▲           │
//	             │             └───────────────────────────────────┘           │
//	             └─────────────────────────────────────────────────────────────┘
//
// Campaigning is waiting in [sqllock.Client.Acquire]: a candidate sleeps until the database or a poll wakes it. Who is unhealthy does not campaign.
//
// Elected is whoever holds the lock, but leads not yet: it publishes its ID and value, and is asked for its health once more, because
// it may have waited for hours. If either fails the lock is given back, and nobody has heard of a term.
//
// Leading begins with the call of OnElected. It ends when that returns, or when the lock is lost, [Elector.Resign] is called, the
// health check fails, or the context of Run ends. Then the term is ending: the context of OnElected is cancelled with that as its
// cause, [Elector.IsLeader] says no, and the elector waits for OnElected to return, or to panic. Only then is the lock released, so that no
// other term begins before, unless the lock was lost. OnDemoted is called after that.
//
// Pausing depends on how the term has ended. Who resigned, returned or was unhealthy stands back for [Config.StandBack], so that whoever
// else is there is elected; if nobody is, it is elected again. Who failed, by an error of the database or of OnElected or by a loss, backs off: from
// 0.1 s, doubled for each failure in a row up to [Config.MaxBackoff], with jitter. A term that lasted for so long, or ended without a failure, begins
// that anew. Who returned an error does both, for the longer of the two.
//
// # The trust window
//
// Each process believes that it leads for as long as its lock says so, and there are two kinds of lock.
//
// With leases (the Tables), the belief ends before anybody else can be elected: at the deadline, which is the last confirmed
// renewal + TTL − TTL/10 by the process's own clock, and the database lets nobody in before the whole TTL. So terms do not overlap, on the
// assumptions about clocks in docs/leases.md, as far as the leader looks. The context of OnElected is ended by a timer, and a process that was
// stopped runs no timers: it goes on, for a moment, in the middle of whatever it did, while somebody else leads. [Term.Valid] reads the
// clock when it is called, and so says no at once.
//
// With session locks (Advisory, Named), a server that ends the session, is restarted or fails over frees the lock at that moment, and the
// next leader may be elected before this one has heard of it. So terms can overlap until the loss is noticed: in milliseconds if the
// connection says so, else within the times in docs/advisory.md.
//
// With either, Valid followed by a write is two steps, and the lock can be lost between them. What a leader writes never interleaves with what another
// one writes if each transaction is guarded: the Guard of the backend, given [Term.Lock], makes the check and the write one. Where
// the writes go elsewhere, [Term.Token] grows from term to term, and whoever stores them refuses one that is smaller than the largest seen.
//
// # Failures
//
//   - The database cannot be reached. The leader's lock is lost as described, and its term ends. Candidates back off, or go on waiting. Observers are
//     told the error, which is not the same as being told that nobody leads.
//   - OnElected ignores its context. After a loss somebody else leads meanwhile, and this process does not campaign before OnElected has returned.
//   - OnElected panics. The lock is released, OnDemoted called, and the panic goes on in the goroutine of Run.
//   - The process is killed. A session lock is free at once or with the next poll of those who wait, a lease after its TTL at the latest.
//   - A health check does not answer in time. The term ends as if it had failed.
//
// # Observing
//
// A leader is found by asking the database: [Elector.Leader] does so once, [Elector.Observe] again and again. Session locks need the toolkit's
// tables for that; elections on them work without.
package leaderelect
