// Package locktest checks that a backend of package sqllock keeps its promises. It is what the backends of this
// module pass, and what somebody who writes another one has to pass.
//
//	func TestBackend(t *testing.T) {
//		locktest.Run(t, locktest.Subject{
//			Fresh:   func(tb testing.TB) string { ... },
//			Backend: func(dsn string) (sqllock.Backend, func(), error) { ... },
//			...
//		})
//	}
//
// Each claim is a subtest whose name says what holds. All claims are checked for all backends: one that has no readers' locks
// is asked for a reader's lock, and has to answer with [sqllock.ErrUnsupported]. What can be had is asked with
// [sqllock.Backend.Capabilities]; what has no place there (a guard, locks inside transactions) is given by the functions of a [Subject].
//
// # What it takes
//
// The databases are real: a lock is a matter of what the server does, and of what it does when something fails. Every
// claim has a database of its own from [Subject.Fresh], so claims run in parallel and a failed one spoils nothing.
//
// Those who compete are Clients that share nothing, and, where it matters, processes. Run starts these itself: they are the test
// binary again, with an environment variable by which Run knows that it is to serve and not to test, and they do what the test
// tells them over a pipe. A test that calls Run needs no code for that, and its TestMain may be any. But it must not do
// anything before it calls Run that should not be done in those processes too.
//
// Processes are needed for three things that goroutines cannot show. They can be killed. They can be stopped, so that time passes for
// everybody but them: the holder who does not know that its lease has run out is the dangerous one. And they share
// no memory, so that what excludes them is in the database.
//
// # How it judges
//
// Exclusion is counted in the database, by those inside: each enters by an UPDATE that counts it, looks who else is in,
// and increments a counter in two statements, so that an overlap shows in the moment and in the sum. Tokens are written down under the
// lock that they belong to.
//
// Durations are checked from both sides. The lower bound is exact: a wait of 230 ms that ends after 200 is wrong on any machine. The
// upper bound is the promise plus ten seconds, because machines are slow: no claim is about speed. Leases that must not run out last
// a minute, much longer than that, so that a lock that came free only by expiry is not taken for one that was released.
//
// Nothing is left to luck that can be arranged. A waiter is known to wait because [sqllock.Client.Locks] shows it, not because
// some time has passed; the instants of cancellation are random, and their seed is in the log of a failed test.
//
// # When a claim fails
//
// The list of claims in run.go is in the order in which a new backend best makes them true. The source of a claim is its
// documentation: what it does is what an application does, and its comment says what goes wrong there when the claim does not hold.
package locktest
