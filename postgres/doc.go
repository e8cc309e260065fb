// Package postgres keeps locks in PostgreSQL.
//
// [Table] keeps leases in the toolkit's own tables. It works through poolers in transaction mode, survives
// restarts of the server, and has everything: readers and writers, permits, tokens, AtLeast, metadata, fair waiting.
//
//	locks := sqllock.New(postgres.Table(pool))
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
// A Client uses two connections of its own, opened from the pool's configuration including BeforeConnect and AfterConnect, and closed after a
// minute in which nothing was held or asked: one acquires and releases, gathering what goroutines want into few transactions; the other renews
// and listens. Statements are prepared or not as the pool's DefaultQueryExecMode says. Behind a pooler in transaction mode set that as the
// pooler needs it, and give [NoListen].
package postgres
