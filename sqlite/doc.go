// Package sqlite keeps locks in a SQLite file: no server, no set-up. It is for processes on one machine.
//
//	locks := sqllock.New(sqlite.Table("locks.db"))
//
// [Table] keeps leases in the same five tables as package postgres, and makes them by itself. A process that holds or waits has one
// row in sqllock_sessions and renews it every third of the TTL, however much it holds. A lock is a row in sqllock_holders; a row that exists
// holds, and expiry only permits those who want the lock to delete it. Waiters are served in the order of their rows in sqllock_waiters.
//
// SQLite has one writer at a time, which makes the protocol simple: every change is one BEGIN IMMEDIATE transaction that looks, evicts
// the dead and grants. Whoever waits looks first without the write lock, and only when the file has changed: PRAGMA data_version, read
// every 10 ms, tells.
//
// The file is in WAL mode. Grants are committed with synchronous=FULL, so no token is given out twice even if the machine loses power;
// renewals and releases with synchronous=NORMAL, because a power cut that loses them ends all the processes too.
//
// Expiry is judged by SQLite's clock, which is the machine's. If that is set forward by more than a TTL, leases end early in the database;
// Guard and tokens still protect.
package sqlite
