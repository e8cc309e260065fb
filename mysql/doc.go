// Package mysql keeps locks in MySQL and MariaDB.
//
// [Named] keeps session locks, on GET_LOCK. It needs no tables, and what a process holds is free the moment it dies.
//
//	locks := sqllock.New(mysql.Named(cfg)) // a *mysql.Config of github.com/go-sql-driver/mysql
//
// [Table] keeps leases in the toolkit's own tables, on MySQL 8.0, MariaDB 10.6 and later. They survive the loss of a connection and restarts of
// the server, work on all nodes of a cluster, and have what session locks have not: TTL, AtLeast, metadata, and an order among waiting processes.
//
//	locks := sqllock.New(mysql.Table(cfg))
//
// The two never exclude each other: choose one for each name.
//
// # How a lease is kept
//
// A process that holds or waits has one row in sqllock_sessions, with an expiry by the database's clock, and renews it every third of
// the TTL with one UPDATE, however much it holds. A lock is a row in sqllock_holders. A row that exists holds: expiry only permits
// somebody who wants the lock to delete first the session, then its holders in the way. Whoever acquires locks the name's row in
// sqllock_resources first, with FOR UPDATE SKIP LOCKED, and looks at holders in a later statement of the same READ COMMITTED transaction, which sees
// all that was committed before it got its row lock. The token counts in the same row.
//
// A transaction of ours is one packet of statements that hand their findings on in user variables, and what it has found out is sent after its
// COMMIT. So a process that is stopped, or a network that is slow, keeps no row locked, and no answer means success before it is one. Tables are read
// by statements that only read, and changed by primary key, because InnoDB locks what a DELETE or a joined read meets on its way.
//
// An attempt keeps its own session from being ended meanwhile by a shared lock on an index entry, (id, epoch), which renewals do not
// touch: a renewal waits for nobody.
//
// [TableBackend.Guard] locks the name's row shared in the user's transaction: as long as that is open no attempt can lock it,
// so nobody can be granted the name, whatever becomes of the lease. [TableBackend.LockTx] locks it exclusively, without a lease at all; what it has to know
// is looked up on a connection of our own, so that it takes no snapshot in the user's transaction and no row lock that it would have to keep.
//
// # Waiting
//
// A waiter has a row in sqllock_waiters, committed before it tries, and those rows are served in their order: nobody is granted what
// somebody else has waited for longer. Each process that holds or waits has one connection that sleeps in the server, its bell, found by the user lock
// "sqllock bell <session>". A release looks for the next waiter after its commit and interrupts the sleep of that one with KILL QUERY, which
// needs no privilege among connections of one user; where nobody waits it sends nothing. A wake-up is not missed: either the waiter's attempt sees the
// release, or the release sees the waiter; and either the bell is asleep and hears the ring, or it is rung at until it sleeps again. The sleep uses no
// table and holds no snapshot. On MariaDB a KILL that meets its victim just as it falls asleep, or wakes up, takes up to two seconds; then the waiter's own
// poll is sooner.
//
// What cannot be pushed is found by polling, every half second unless [Poll] says otherwise: a crashed holder's expiry, and all releases where clients log in
// as different users, are on different nodes of a cluster, or behind a proxy that hides the connections.
//
// # Connections
//
// A Client of a Table opens connections of its own with the application's configuration: the bell and the one that keeps what it waits for, and usually one for all else, which gathers what
// goroutines want into few transactions, and two where more than sixty want something at a time. A renewal opens another if that is busy, and so do up to four callers of Verify, Locks, ForceRelease, Publish and
// Leader. They are closed after a minute in which nothing was held or asked. Their settings (sql_mode, isolation level, time limits) are ours, whatever
// the server's defaults and Params say.
package mysql
