package leaderelect

import (
	"context"
	"maps"
	"time"
)

// Leader is who leads, as others see it.
type Leader struct {
	ID    string
	Token int64 // of its term; 0 where the backend was not asked for tokens
	Value map[string]string
	Since time.Time // on the database's clock
}

func (l Leader) equal(other Leader) bool {
	return l.sameTerm(other) && maps.Equal(l.Value, other.Value)
}

func (l Leader) sameTerm(other Leader) bool {
	return l.ID == other.ID && l.Token == other.Token && l.Since.Equal(other.Since)
}

// Leader asks the database who leads. The elector need not be running.
//
// The error matches [sqllock.ErrNoLeader] if nobody does, and [sqllock.ErrUnsupported] if the backend has no place to publish in: the
// message says what to install. Any other error is of the database, and says that we do not know.
func (e *Elector) Leader(ctx context.Context) (Leader, error) {
	found, err := e.locks.Leader(ctx, e.name)
	if err != nil {
		return Leader{}, err
	}
	l := Leader{ID: found.Owner, Token: found.Token, Value: maps.Clone(found.Value), Since: found.Since}
	if id, ok := l.Value[idKey]; ok {
		l.ID = id
		delete(l.Value, idKey)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if l.Token >= e.seen.Token && !l.sameTerm(e.seen) { // those who ask at the same time may be answered in any order
		e.seen = l
		e.stats.Transitions++
	}
	return l, nil
}
