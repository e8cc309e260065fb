// Package advisory is the session behind postgres.Advisory: one connection that carries all session locks of a Client, and all its waiting.
//
// # The wire
//
// A [Session] opens a connection with pgx, prepares its statements, and takes the connection over. From then on it is used in both directions at once. One
// goroutine reads, for as long as the connection lives: answers, notifications and the end. Callers put what they want into the session under
// its mutex; who finds nothing on its way writes a batch and leaves, and when a batch has been answered the reader writes the next, with all that has gathered.
// So one caller alone costs one write and one wake-up, and many share a round trip.
//
// # Who believes what
//
// An [entry] is what the session has to do with one key, and ops of one key go to the server one after the other. Their answers change entries only in
// the reader, after all of a batch has been answered. A caller whose context ends abandons its op, and whatever that is granted is given back.
// After an error inside a batch the session compares what it should hold with what the server lists, before it sends anything else; when the connection ends, everything
// that was held is lost, once and for all, and those who wait try again on the next.
//
// docs/advisory.md describes the protocol between sessions: keys, barriers, waiting, tokens.
package advisory
