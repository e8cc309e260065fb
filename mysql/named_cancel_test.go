package mysql_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sqllock/toolkit/mysql"
	"github.com/sqllock/toolkit/sqllock"
)

// TestNamedKilledStatementsLeaveNoDoubt has an administrator, or a tool, end whatever the sessions do, all the time, and a session now and then,
// while many goroutines acquire, give up and release. A statement that is killed may have locked what it was to lock, and its caller has
// no answer. Nobody may believe to hold what another holds, and what nobody wants must not stay.
func TestNamedKilledStatementsLeaveNoDoubt(t *testing.T) {
	t.Parallel()
	for name, opts := range map[string][]mysql.Option{"Plain": nil, "Tokens": {mysql.WithTokens()}, "Polling": {mysql.MaxParked(0), mysql.Poll(5 * time.Millisecond)}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const clients, workers, rounds, names = 2, 6, 60, 3
			s := newNamedScene(t)
			storm, calm := context.WithCancel(t.Context())
			var weather, all sync.WaitGroup
			var kills, granted, failed atomic.Int64
			weather.Go(func() {
				for storm.Err() == nil {
					what := "QUERY"
					if rand.IntN(20) == 0 {
						what = "CONNECTION"
					}
					var id int64
					err := s.db.QueryRow("SELECT ID FROM information_schema.PROCESSLIST WHERE DB = ? ORDER BY RAND() LIMIT 1", s.cfg.DBName).Scan(&id)
					if err == nil {
						_, err = s.db.Exec(fmt.Sprintf("KILL %s %d", what, id))
					}
					if err == nil {
						kills.Add(1)
					} else if storm.Err() == nil && !errors.Is(err, sql.ErrNoRows) {
						assert.ErrorContains(t, err, "1094", "it has ended by itself")
					}
				}
			})
			// Each name has at most one holder. Whoever is granted it asks the one before, who must have ended the holding, or been told.
			var holders [names]atomic.Pointer[sqllock.Lock]
			var cs []*sqllock.Client
			for range clients {
				c := s.client(opts...)
				cs = append(cs, c)
				for worker := range workers {
					all.Go(func() {
						for round := 0; round < rounds || kills.Load() == 0 && round < 100*rounds; round++ { // the storm may be slow to come
							i := (worker + round) % names
							var l *sqllock.Lock
							var err error
							switch round % 3 {
							case 0:
								l, err = c.TryAcquire(t.Context(), fmt.Sprint("n", i))
							case 1:
								l, err = c.Acquire(t.Context(), fmt.Sprint("n", i), sqllock.Wait(time.Duration(1+rand.IntN(20))*time.Millisecond))
							default:
								l, err = c.Acquire(t.Context(), fmt.Sprint("n", i))
							}
							if err != nil {
								failed.Add(1)
								continue
							}
							granted.Add(1)
							before := holders[i].Swap(l)
							if before != nil && before.Err() == nil && l.Verify(t.Context()) == nil && before.Verify(t.Context()) == nil {
								t.Errorf("two hold n%d", i)
							}
							if l.Release(t.Context()) != nil {
								failed.Add(1)
							}
						}
					})
				}
			}
			all.Wait()
			calm()
			weather.Wait()
			t.Logf("%d killed, %d granted, %d failed", kills.Load(), granted.Load(), failed.Load())
			assert.Positive(t, granted.Load())
			assert.Positive(t, kills.Load())
			for i := range names {
				name := fmt.Sprint("n", i)
				s.eventually(func() bool { return len(s.waiting(name)) == 0 }, "nobody waits for %q", name)
				s.free(name)
				var l *sqllock.Lock
				s.eventually(func() (ok bool) {
					var err error
					l, err = cs[i%clients].Acquire(t.Context(), name, sqllock.Wait(namedSlack))
					return err == nil
				}, "it is granted again")
				require.NoError(t, l.Verify(t.Context()))
				s.refused(cs[(i+1)%clients], name)
				s.release(l)
			}
		})
	}
}
