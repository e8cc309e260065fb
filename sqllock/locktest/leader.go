package locktest

import (
	"errors"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sqllock/toolkit/sqllock"
)

// publishes tells whether the backend lets holders publish something, perhaps because of what is installed. Then l's Publish is
// refused too, and not only the question who leads.
func (a *arena) publishes(other *party, l *sqllock.Lock) bool {
	a.Helper()
	_, err := other.Leader(a.ctx, l.Name())
	if !errors.Is(err, sqllock.ErrUnsupported) {
		return true
	}
	require.False(a, a.can.Metadata)
	require.ErrorIs(a, l.Publish(a.ctx, nil), sqllock.ErrUnsupported)
	require.NoError(a, l.Verify(a.ctx), "the lock is as good as before")
	return false
}

// unpublished asks for the leader of a name whose holder has published nothing. A backend that stores metadata knows the holder all the same.
func (a *arena) unpublished(other *party, l *sqllock.Lock) {
	a.Helper()
	leader, err := other.Leader(a.ctx, l.Name())
	if !a.can.Metadata {
		require.ErrorIs(a, err, sqllock.ErrNoLeader)
		return
	}
	require.NoError(a, err)
	assert.Equal(a, l.Token(), leader.Token)
	assert.Empty(a, leader.Value)
}

func leaderIsPublished(a *arena) {
	p, other := a.party("the leader"), a.party("other")
	first := map[string]string{"address": `it's "quoted" \ and é`, "": "empty key", "empty value": ""}
	before := time.Now()
	var l *sqllock.Lock
	if a.can.Metadata {
		l = a.acquire(p, "n", sqllock.Metadata(first))
	} else {
		l = a.acquire(p, "n")
		if !a.publishes(other, l) {
			return
		}
		a.unpublished(other, l)
		require.NoError(a, l.Publish(a.ctx, first))
	}
	_, err := other.Leader(a.ctx, "nobody's")
	require.ErrorIs(a, err, sqllock.ErrNoLeader)

	leader, err := other.Leader(a.ctx, "n")
	require.NoError(a, err)
	assert.Equal(a, first, leader.Value)
	assert.Equal(a, "the leader", leader.Owner)
	assert.Equal(a, "n", leader.Name)
	assert.Equal(a, l.Token(), leader.Token)
	assert.WithinDuration(a, before, leader.Since, claimTimeout)

	since := leader.Since
	require.NoError(a, l.Publish(a.ctx, map[string]string{"address": "second"}))
	leader, err = other.Leader(a.ctx, "n")
	require.NoError(a, err)
	assert.Equal(a, map[string]string{"address": "second"}, leader.Value)
	assert.True(a, since.Equal(leader.Since), "the term has begun when it began")
	require.NoError(a, l.Publish(a.ctx, nil))
	leader, err = other.Leader(a.ctx, "n")
	require.NoError(a, err)
	assert.Empty(a, leader.Value)
	require.ErrorIs(a, l.Publish(a.ctx, map[string]string{"k": "\xff"}), sqllock.ErrInvalid)

	if a.can.Shared {
		a.acquire(p, "read", sqllock.Shared())
		_, err := other.Leader(a.ctx, "read")
		require.ErrorIs(a, err, sqllock.ErrNoLeader, "readers do not lead")
	}
	a.release(l)
	_, err = other.Leader(a.ctx, "n")
	require.ErrorIs(a, err, sqllock.ErrNoLeader)
	require.ErrorIs(a, l.Publish(a.ctx, nil), sqllock.ErrReleased)

	l = a.soon(p, "n")
	require.NoError(a, other.ForceRelease(a.ctx, "n"))
	require.ErrorIs(a, l.Publish(a.ctx, map[string]string{"address": "too late"}), sqllock.ErrLost)
	_, err = other.Leader(a.ctx, "n")
	require.ErrorIs(a, err, sqllock.ErrNoLeader)
}

// formerLeaderIsForgotten has the same Client hold again, and others after it: nobody inherits what somebody else, or the same one before, has published.
func formerLeaderIsForgotten(a *arena) {
	p, next, other := a.party("p"), a.party("next"), a.party("other")
	l := a.acquire(p, "n")
	if !a.publishes(other, l) {
		return
	}
	require.NoError(a, l.Publish(a.ctx, map[string]string{"term": "first"}))
	a.release(l)
	l = a.soon(p, "n")
	a.unpublished(other, l)
	require.NoError(a, l.Publish(a.ctx, map[string]string{"term": "second"}))
	require.NoError(a, other.ForceRelease(a.ctx, "n"))
	require.ErrorIs(a, l.Verify(a.ctx), sqllock.ErrLost)
	l = a.soon(p, "n")
	a.unpublished(other, l)
	a.release(l)
	l = a.soon(next, "n")
	a.unpublished(other, l)
	require.NoError(a, l.Publish(a.ctx, map[string]string{"term": "fourth"}))
	leader, err := other.Leader(a.ctx, "n")
	require.NoError(a, err)
	assert.Equal(a, "next", leader.Owner)
	assert.Equal(a, map[string]string{"term": "fourth"}, leader.Value)
	assert.Equal(a, l.Token(), leader.Token)
}

// killedLeaderIsForgotten leaves what a process has published where it was: nobody was there to take it away.
func killedLeaderIsForgotten(a *arena) {
	p, other := a.process("killed", 3*shortTTL), a.party("other")
	probe := a.acquire(other, "another name")
	if !a.publishes(other, probe) {
		return
	}
	l := p.acquire(request{Name: "n"})
	p.must(request{Program: "publish", Lock: l.Lock, Name: "alive"})
	leader, err := other.Leader(a.ctx, "n")
	require.NoError(a, err)
	assert.Equal(a, map[string]string{"value": "alive"}, leader.Value)
	p.kill()
	a.eventually(func() bool {
		leader, err := other.Leader(a.ctx, "n")
		if err == nil {
			require.Equal(a, "killed", leader.Owner, "as long as the database does not know better")
			return false
		}
		require.ErrorIs(a, err, sqllock.ErrNoLeader)
		return true
	}, "nobody leads")
}

// publish has the helper's lock publish a value.
func publish(h *helper, r request) (reply, error) {
	return reply{}, h.lock(r.Lock).Publish(h.ctx, map[string]string{"value": r.Name})
}
