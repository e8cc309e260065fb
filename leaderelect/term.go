package leaderelect

import (
	"github.com/sqllock/toolkit/sqllock"
)

// Term is the time for which a process leads, seen from inside. It is a small value, to be copied.
type Term struct {
	// Token is the fencing token: larger than those of all earlier terms. 0 says that the backend was not asked for tokens.
	Token int64

	lock *sqllock.Lock
}

// Valid tells whether the lock is held, as far as this process can tell by looking at the clock now. It is exact where the end of a context
// may come late: after the process was stopped, for instance. While a term is ending it is true for as long as nobody else can be elected.
//
// A term can end between a call of Valid and what follows; what must not happen then goes into a transaction with the backend's Guard.
func (t Term) Valid() bool { return t.lock != nil && t.lock.Err() == nil }

// Lock is the lock that is the term, for the Guard of its backend. To release it ends the term.
func (t Term) Lock() *sqllock.Lock { return t.lock }
