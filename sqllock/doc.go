// Package sqllock takes locks in the relational database that an application already runs.
//
// A [Client] is made once from a backend (packages postgres, mysql and sqlite) and shared by all goroutines:
//
//	locks := sqllock.New(sqlite.Table("locks.db"))
//	defer locks.Close(ctx)
//
//	err := locks.Do(ctx, "nightly-report", func(ctx context.Context) error {
//		return report(ctx) // ctx is cancelled if the lock is lost
//	})
//
// Acquire and TryAcquire return a [Lock] for those who need more than Do. [Shared] makes it a reader's lock, [Permits] one of n
// permits. [Client.AcquireAll] takes several names at once.
//
// # What a lock promises
//
// There are two kinds of lock. A session lock lives as long as one database connection. A lease lives until its session, a row in the
// database, has not been renewed for its TTL by the database's clock. Either can end while its holder still works: the connection
// breaks, the process is stopped for longer than the TTL, the database fails over. The holder is told at once, with the reason:
// [Lock.Done] is closed, contexts made by [Lock.Context] are cancelled, and [Lock.Err], which reads the clock, matches [ErrLost].
// A process that is stopped cannot be told anything, so none of this suffices alone for work that must never happen twice
// (Kleppmann, "How to do distributed locking", 2016). For that there are two means:
//
//   - the fencing token, [Lock.Token], which grows with each holder: whoever stores data refuses a token smaller than the largest seen;
//   - the Guard of the backend: inside the application's own transaction it checks that the lock is held, and keeps it from
//     changing hands until that transaction ends. A guarded transaction commits only if nobody else could have held the lock since.
//
// # Waiting
//
// Goroutines of one Client wait in line in front of the database, in the order they came, and only the first goes to it. Locks are not
// re-entrant: two goroutines exclude each other exactly as two processes do. Waiting outlives a lost connection; what was held
// over it is lost, said so, and never taken again silently.
//
// # Errors
//
// Errors are values to be matched with [errors.Is]; the sentinels are listed below. An error of the database never matches
// [ErrNotAcquired], nor does its silence: not knowing is not the same as being refused.
//
// # Writing a backend
//
// [Backend] and [Session] are the contract, and package locktest is its conformance suite.
package sqllock
