package mysql_test

import (
	"sync"
	"testing"

	driver "github.com/go-sql-driver/mysql"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sqllock/toolkit/internal/testdb"
	"github.com/sqllock/toolkit/mysql"
	"github.com/sqllock/toolkit/sqllock"
)

// TestNamedLocksAreListed as well as the server lets anybody see user locks: where it tells nothing, those that somebody waits for, and those that
// this Client knows of.
func TestNamedLocksAreListed(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		config func(t *testing.T) *driver.Config
		all    bool
	}{
		"Instruments": {func(t *testing.T) *driver.Config { return instrumented(t)(t) }, true},
		"Plugin": {func(t *testing.T) *driver.Config {
			s := namedSceneAt(t, testdb.StartMySQL(t, "performance-schema=OFF").Config())
			if _, err := s.db.Exec("INSTALL SONAME 'metadata_lock_info'"); err != nil {
				t.Skip("there is no such plugin: ", err)
			}
			return s.cfg
		}, true},
		"ProcessList": {func(t *testing.T) *driver.Config { return testdb.StartMySQL(t, "performance-schema=OFF").Config() }, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx := t.Context()
			cfg := c.config(t)
			migrate(t, cfg)
			s := namedSceneAt(t, cfg)
			holder, waiter, viewer := s.client(mysql.WithTokens()), s.client(mysql.WithTokens()), s.client(mysql.WithTokens())
			kept, held := s.acquire(holder, "kept"), s.acquire(holder, "n")
			got := s.waits(waiter, "n")
			stranger := s.acquire(s.client(mysql.Namespace("strange")), "n")

			look := func(c *sqllock.Client) (holders, waiters []string) {
				infos, err := c.Locks(ctx)
				require.NoError(t, err)
				for _, i := range infos {
					assert.Equal(t, s.key(i.Name), i.Key)
					if i.Waiting {
						assert.Equal(t, s.waiting(i.Name), []int64{i.PID})
						waiters = append(waiters, i.Name)
						continue
					}
					assert.Equal(t, s.holder(i.Name), i.PID)
					holders = append(holders, i.Name)
				}
				return holders, waiters
			}
			holders, waiters := look(viewer)
			assert.Equal(t, []string{"n"}, waiters)
			if c.all {
				assert.ElementsMatch(t, []string{"kept", "n"}, holders)
			} else {
				assert.Equal(t, []string{"n"}, holders)
			}
			holders, waiters = look(holder)
			assert.ElementsMatch(t, []string{"kept", "n"}, holders)
			assert.Equal(t, []string{"n"}, waiters)
			infos, err := holder.Locks(ctx)
			require.NoError(t, err)
			for _, i := range infos {
				if !i.Waiting && i.Name == "kept" {
					assert.Equal(t, kept.Token(), i.Token)
					assert.False(t, i.Since.IsZero())
				}
			}
			s.release(held)
			s.release(s.granted(got, 0), kept, stranger)
			holders, waiters = look(holder)
			assert.Empty(t, holders)
			assert.Empty(t, waiters)
		})
	}
}

// TestNamedAttemptsAreNoWaiters although the server has each of them wait for an instant, even for no time at all.
func TestNamedAttemptsAreNoWaiters(t *testing.T) {
	t.Parallel()
	for name, config := range map[string]func(t *testing.T) *driver.Config{
		"Instruments": func(t *testing.T) *driver.Config { return instrumented(t)(t) },
		"ProcessList": func(t *testing.T) *driver.Config { return testdb.StartMySQL(t, "performance-schema=OFF").Config() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := config(t)
			s := namedSceneAt(t, cfg)
			holder := s.client()
			s.acquire(holder, "n")
			s.acquire(holder, "m")
			ended := make(chan struct{})
			var trying sync.WaitGroup
			for range 4 {
				one, both := s.client(), s.client()
				trying.Go(func() {
					for {
						select {
						case <-ended:
							return
						default:
						}
						_, err := one.TryAcquire(t.Context(), "n")
						assert.ErrorIs(t, err, sqllock.ErrNotAcquired)
						_, err = both.AcquireAll(t.Context(), []string{"n", "m"}, sqllock.Wait(0))
						assert.ErrorIs(t, err, sqllock.ErrNotAcquired)
					}
				})
			}
			for range 300 {
				infos, err := holder.Locks(t.Context())
				require.NoError(t, err)
				for _, i := range infos {
					assert.False(t, i.Waiting, "%+v", i)
				}
			}
			close(ended)
			trying.Wait()
		})
	}
}
