// Package postgres keeps locks in PostgreSQL.
//
// [Advisory] keeps session locks, on pg_advisory_lock. It needs no tables, what a process holds is free the moment it dies, and everything
// that a process holds and waits for is on one connection. This is what most should take.
//
//	locks := sqllock.New(postgres.Advisory(pool))
//
// [Table] keeps leases in the toolkit's own tables. They work through poolers in transaction mode, survive the loss of a connection and
// restarts of the server, and have what session locks have not: TTL, AtLeast, metadata, and an order among waiting processes.
//
//	locks := sqllock.New(postgres.Table(pool))
//
// The two never exclude each other: choose one for each name.
//
// # How a session lock is kept
//
// A Client of Advisory has one connection of its own, which dies with its process. Attempts and releases of many goroutines travel in one round trip; a waiter
// is woken by NOTIFY, sent only where somebody waits, and never waits inside the server, so it holds no snapshot. A holder learns of the end of its session
// when the connection does, and of silence before the server gives the lock away. [AdvisoryBackend.Guard] ties a transaction to a lock: whoever is granted it next
// waits for that transaction, even if the session has died. docs/advisory.md has all of it: keys, tokens, who believes what, what is refused.
//
// # How a lease is kept
//
// A process that holds or waits has one row in sqllock_sessions, with an expiry by the database's clock, and renews it every third of
// the TTL with one UPDATE, however much it holds. A lock is a row in sqllock_holders. A row that exists holds: expiry only permits
// somebody who wants the lock to delete first the session, then its holders in the way. Whoever acquires locks the name's row in
// sqllock_resources first, with FOR UPDATE SKIP LOCKED, and looks at holders in a later statement, because at READ COMMITTED a statement sees
// what was committed before it began, not before it got its row lock
// (https://www.postgresql.org/docs/current/transaction-iso.html#XACT-READ-COMMITTED). The token counts in the same row.
//
// [TableBackend.Guard] takes that row FOR SHARE in the user's transaction: as long as that is open no attempt can lock it,
// so nobody can be granted the name, whatever becomes of the lease. [TableBackend.LockTx] takes it FOR UPDATE, without a lease at all.
//
// # Waiting
//
// A waiter has a row in sqllock_waiters, committed before it tries, and those rows are served in their order: nobody is granted what
// somebody else has waited for longer. A release looks for the next waiter after its commit and notifies that one
// session; where nobody waits it sends nothing. So a wake-up cannot be missed: either the waiter's attempt sees the release, or
// the release sees the waiter. What cannot be pushed, a crashed holder's expiry or a notification that a pooler
// swallowed, is found by polling.
//
// # Connections
//
// A Client of a Table uses two connections of its own, opened from the pool's configuration including BeforeConnect and AfterConnect, and closed after a
// minute in which nothing was held or asked: one acquires and releases, gathering what goroutines want into few transactions; the other renews
// and listens. Where more than sixty want something at a time a third does half of that. Statements are prepared or not as the pool's DefaultQueryExecMode says. Behind a pooler in transaction mode set that as the
// pooler needs it, and give [NoListen].
package postgres
