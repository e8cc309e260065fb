// Package torture breaks everything that locks depend on, while several processes use them, and checks what has happened.
//
// It is a module of its own so that the library's users do not inherit toxiproxy and porcupine. It runs on Linux only.
//
//	go test ./...                                            # a short round for each backend
//	DURATION=10m go test -timeout 0 -run Torture ./...       # rounds for ten minutes for each backend
//	SEED=42 go test -run TorturePostgresTable ./...          # the faults of a round that was reported, again
//	KEEP=1 go test -run TorturePostgresTable ./...           # keeps the history of a round in which nothing was found, too
//	HISTORY=/tmp/sqllock-torture-1 go test -run History -v ./... # judges a round again
//
// A seed chooses what is done to whom and when; what the scheduler makes of it is different each time.
//
// # A round
//
// Four client processes, each with a Client and four goroutines, take a few names in the modes that the backend has: single
// attempts, short and long waits, holds of milliseconds and some that outlast the TTL, LockTx and WithTx beside them, and now and then
// ForceRelease. Under a lock they do guarded transactions on a register in the same database: read a value, work, write the
// value plus one, and leave a line in a log. Nothing but the lock keeps two of them apart.
//
// Meanwhile up to three troubles at a time happen. Every second client reaches the server through proxies, one for its locks and one for its
// data, so that either can fail alone; the others connect directly, so that packets can be lost. At the end everything is mended, and each
// goroutine has to get every lock within a bound. TTLs are one second and SessionTimeouts three, so that faults outlast them.
//
// # Troubles
//
//   - a client is stopped (SIGSTOP), for an instant or past the TTL, anywhere or exactly between its Guard and its write; or killed, and another started;
//   - the server is killed with SIGKILL, restarted, or stopped;
//   - sessions are ended, one or all; statements are killed (MySQL); all connections of the server are used up;
//   - renewals hang, because somebody has locked the rows; with SQLite the file is;
//   - proxies delay, throttle, cut into pieces, swallow everything, reset, refuse, or are killed;
//   - packets are lost without a sound: the answers, the questions, or both. A packet filter on the sockets of the client, of the server,
//     or of both drops them, acknowledgements included;
//   - the database's clock jumps, forward or back, by up to twice the TTL, and later back again.
//
// # What is recorded
//
// Each process writes an [Event] as one line for everything that it calls and that returns, at that moment, so that a process that is killed
// has told all but what was under way. Times are of CLOCK_MONOTONIC, which is one for all processes of a machine: so what returned in one process before
// something was called in another did happen before it. What the database has of it, the log and the values, is read at the end, and decides
// about transactions whose commit was not answered.
//
// # What is checked
//
//   - Guarded transactions never interleave: from the return of Guard to the call of the commit of one that has committed there is none of another holder who
//     excludes it. Whatever happens. This compares clocks, so it sees more than the data does.
//   - Writes follow each other: their values in the log are 1, 2, 3 …, their tokens never go down, and the register has the last value. This compares
//     no clocks, but an interleaving that loses no update, or a writer beside a reader, is not seen.
//   - What was acknowledged is in the log, and what was rolled back is not.
//   - A later holder's token is larger, and no two are equal. Later is who asked after the other was answered.
//   - Who believes to hold a lock, because Err was nil when asked, is alone with it. That is not promised where the documents say so: after ForceRelease,
//     for leases when the clock of the database was set, for session locks when the session was ended or its connection broke. A hold to which that
//     has happened is left out. So for leases this covers stopped processes, lost packets, crashes and broken connections; for session locks
//     stopped processes and lost packets.
//   - No loss is silent: whoever releases without an error held the lock until then.
//   - Who waits is served: with everything mended, each goroutine gets every lock, and nobody who waits for a bound in peace does so in vain.
//   - There is an order of all acquisitions, releases, losses and transactions in which a lock and a register as they should be give the same answers. This is
//     what porcupine finds. Operations without an answer happened when and if the log says so; a loss may have happened at any time
//     after the holder's last commit, because when the database gave the lock away is not told.
//
// Readers are checked too: a reader's two reads in one transaction must agree, and its value is part of the order that porcupine finds.
//
// # What is not seen
//
// A lock that the database counts as held and nobody uses. Order among waiters. A round does not fail over to replicas, which lose what was not
// replicated, and does not cut the power: what the kernel has, survives.
package torture
