// Package lease is the engine that the lock tables of PostgreSQL, MySQL and SQLite share. It contains no SQL: what the database does is
// behind [Store].
//
// # Sessions
//
// An [Engine] belongs to one Client. It opens a session, one row with an expiry, when something is first asked for, and renews it every third of
// the TTL for as long as it holds or waits: one UPDATE of one row, however many locks there are. A session that is not needed is not renewed,
// and an engine that does nothing has no goroutine. A row of the holders table holds as long as it exists; the expiry of its session
// only permits others to delete it. A session that is gone is gone: the engine tells all who held by it, and opens another one,
// with another id, for whoever comes next.
//
// # Who believes what
//
// The process believes that it holds until its deadline: the instant before it sent the last request that moved the expiry, plus the TTL,
// less a margin of a tenth. The database lets others in when it has carried the request out plus the TTL, which is later, unless
// its clock is set forward. The deadline is read from a clock when somebody asks, and never depends on a reply: a database that hangs
// lets it pass, and a process that was stopped finds it passed. Having answered "lost" once, the engine does not take it back: a renewal that
// is confirmed afterwards is thrown away with its session.
//
// When a reply is missing, the process does not know what it holds. Attempts that were not answered may have been granted, or may yet be,
// if they are still on their way to the server. So before anything else is attempted for that session, the engine reconciles: the database
// waits until no attempt of the session is under way, raises the session's epoch, deletes holders that the process
// does not know, and says which of the known ones exist. An attempt that arrives later carries the old epoch and is granted nothing. ForceRelease
// raises the epoch too; that is how a holder who missed the push learns at the next renewal that it has lost something.
//
// A release is deleted locally first and in the database until it has answered: deleting a row by its token is idempotent, and can never
// hit the row of the next holder.
//
// # Batches
//
// One worker goroutine, which runs only while there is something to do, sends what has gathered since its last round trip: releases in one
// transaction, attempts in another. Large batches go in parts over the connections that the store has for them, its lanes, and the worker waits for
// all parts before it goes on. A caller's context never reaches the wire. A caller who leaves is replaced by the engine, which gives back what
// was granted too late.
//
// # Waiting
//
// A waiter is enlisted in the database, then tries, then sleeps until the database pushes to it, or a poll is due, or the lease in its
// way runs out. Enlisting is committed before the attempt: a release either is seen by the attempt, or sees the waiter. Waiters are
// served in the order in which they enlisted. One that is stopped keeps its place until its session expires, as it would keep a lock.
package lease
