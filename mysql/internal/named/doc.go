// Package named is the session behind mysql.Named: a few connections that carry all session locks of a Client, and all its waiting.
//
// # Connections
//
// The carrier holds any number of keys. What goroutines want of it is gathered while a statement is on its way, and asked in the next one. A key that
// somebody waits for has a connection of its own, a parked one, that sits in GET_LOCK and holds nothing else; what it wins it keeps until that is
// released. A [link] is either. The driver works on one statement at a time, so whoever finds a link idle does the round trip, and goes on for as long as
// there is more to ask.
//
// # Who believes what
//
// An [entry] is what the session has to do with one key, an [op] one thing that somebody asks the server. What the server has answered changes
// entries under the session's mutex, after the statement has been answered as a whole. After an error in a statement, or an answer of NULL, each op that may
// have taken or given up something becomes one that gives up, goes before all that has not been asked yet, and only when it is answered its caller is. When a
// connection ends, what was held there is lost, once and for all, and those who wait do so on another.
//
// docs/named.md describes the protocol between sessions.
package named
