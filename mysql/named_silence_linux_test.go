package mysql_test

import (
	"context"
	"testing"
	"time"

	driver "github.com/go-sql-driver/mysql"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sqllock/toolkit/internal/testdb"
	"github.com/sqllock/toolkit/mysql"
	"github.com/sqllock/toolkit/sqllock"
)

// slowToHear takes its time over each loss, in which others can get what has not been told yet.
type slowToHear struct{ sqllock.NopTracer }

func (slowToHear) TraceLost(sqllock.LostData) { time.Sleep(50 * time.Millisecond) }

// TestNamedHolderKnowsOfSilentLossFirst loses packets between a holder and the server, without an error to either. The holder has to give up before
// the server gives the lock to somebody else, who tries all the time. When packets arrive again all is well.
func TestNamedHolderKnowsOfSilentLossFirst(t *testing.T) {
	t.Parallel()
	const timeout = 3 * time.Second
	ctx := t.Context()
	s := newNamedScene(t)
	var network testdb.Silencer
	backend := s.configured(func(c *driver.Config) { c.DialFunc = network.Dial }, mysql.SessionTimeout(timeout))
	holder := sqllock.New(backend, sqllock.WithTracer(slowToHear{}))
	t.Cleanup(func() { assert.NoError(t, holder.Close(context.Background())) })
	other := s.client()
	carried, inherited := s.carriedAndInherited(holder)
	blocked := s.acquire(other, "blocked")
	got := s.waits(holder, "blocked")
	require.NoError(t, network.Silence())
	silenced := time.Now()
	for _, l := range []*sqllock.Lock{carried, inherited} {
		require.NoError(t, l.Err())
	}
	for _, l := range []*sqllock.Lock{carried, inherited} {
		for {
			next, err := other.TryAcquire(ctx, l.Name())
			if err == nil {
				// It was granted before this looks: whoever does not say now that it is lost was told too late.
				select {
				case <-l.Done():
				default:
					t.Errorf("%s: granted to another, and its holder has not been told", l.Name())
				}
				assert.ErrorIs(t, l.Err(), sqllock.ErrLost)
				t.Logf("%s: granted to another %v after the last packet", l.Name(), time.Since(silenced))
				s.release(next)
				break
			}
			require.ErrorIs(t, err, sqllock.ErrNotAcquired)
			require.Less(t, time.Since(silenced), timeout+namedSlack, "the server still keeps it")
		}
		require.ErrorIs(t, l.Release(ctx), sqllock.ErrLost)
	}
	_, err := holder.TryAcquire(ctx, "free") // with a connection that will not come about
	unknownHolder(t, err, "TryAcquire")

	require.NoError(t, network.Restore())
	s.release(blocked)
	s.release(s.granted(got, 4*time.Second), s.acquire(holder, "carried"))
	require.ErrorIs(t, carried.Err(), sqllock.ErrLost)
	s.free("carried", "inherited", "blocked")
}
