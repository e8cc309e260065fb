package postgres_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sqllock/toolkit/postgres"
	"github.com/sqllock/toolkit/sqllock"
)

// TestAdvisoryReleaseWakesThoseWhoWait has several Clients ask for a name at the same instant, once each in every round. The last of a round
// has nobody behind it whose release could make up for a wake-up that it missed, and the next poll is most of a minute away.
func TestAdvisoryReleaseWakesThoseWhoWait(t *testing.T) {
	t.Parallel()
	const rounds = 60
	s := newScene(t)
	clients := []*sqllock.Client{s.client(postgres.Poll(time.Minute)), s.client(postgres.Poll(time.Minute)), s.client(postgres.Poll(time.Minute))}
	for _, c := range clients {
		require.NoError(t, c.Ping(t.Context()))
	}
	x, r, p1, p2 := []sqllock.Option(nil), []sqllock.Option{sqllock.Shared()}, []sqllock.Option{sqllock.Permits(1)}, []sqllock.Option{sqllock.Permits(2)}
	ctx, cancel := context.WithTimeout(t.Context(), 40*time.Second) // less than four fifths of the interval, when the first poll comes
	defer cancel()
	var names sync.WaitGroup
	for i, modes := range [][][]sqllock.Option{{x, x}, {x, x, x}, {x, r}, {r, x, r}, {x, r, x}, {p1, p1}, {p2, p2, p2}, {p1, x}, {p1, r}, {p2, x, p2}} {
		names.Go(func() {
			name := fmt.Sprintf("n%d", i)
			for round := range rounds {
				var all sync.WaitGroup
				for j, mode := range modes {
					all.Go(func() {
						l, err := clients[(j+round)%len(clients)].Acquire(ctx, name, mode...)
						if assert.NoError(t, err, "%s in round %d", name, round) {
							assert.NoError(t, l.Release(ctx))
						}
					})
				}
				if all.Wait(); t.Failed() {
					return
				}
			}
		})
	}
	names.Wait()
	s.onlySessionsLeft()
}

// TestAdvisoryReleaseWakesAWaiterThatSleeps is sure of what chance decides above: whoever is woken has been waiting.
func TestAdvisoryReleaseWakesAWaiterThatSleeps(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	a, b := s.client(postgres.Poll(time.Minute)), s.client(postgres.Poll(time.Minute))
	modes := map[string][]sqllock.Option{"exclusive": nil, "shared": {sqllock.Shared()}, "permit": {sqllock.Permits(1)}}
	for of, held := range modes {
		for wanted, mode := range modes {
			if of == "shared" && wanted == "shared" {
				continue
			}
			for range 3 {
				l := s.acquire(a, "n", held...)
				next := s.waits(b, "n", mode...)
				s.release(l)
				s.release(s.granted(next, 0))
			}
		}
	}
	set, err := a.AcquireAll(t.Context(), []string{"1", "2", "3"})
	require.NoError(t, err)
	var grants []<-chan grant
	for _, name := range set.Names() {
		grants = append(grants, s.waits(b, name))
	}
	require.NoError(t, set.Release(t.Context()))
	for _, g := range grants {
		s.release(s.granted(g, 0))
	}
}

// listening hears everything that is notified from now on.
type listening struct {
	*scene
	conn *pgx.Conn
}

func (s *scene) listen() listening {
	conn := s.session()
	_, err := conn.Exec(s.Context(), "LISTEN sqllock")
	require.NoError(s, err)
	return listening{s, conn}
}

// heard is what has been committed before the call. Notifications come in the order of commits, so our own is the last.
func (l listening) heard() (messages []string) {
	l.Helper()
	l.exec("NOTIFY sqllock, 'that is all'")
	for {
		n, err := l.conn.WaitForNotification(l.Context())
		require.NoError(l, err)
		if n.Payload == "that is all" {
			return messages
		}
		messages = append(messages, n.Payload)
	}
}

func TestAdvisoryReleaseNotifiesOnlyWhereSomebodyWaits(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	a, b := s.client(), s.client(postgres.Poll(time.Minute))
	ear := s.listen()
	key := postgres.Advisory(s.pool).Key("n")

	elsewhere := s.acquire(a, "waited for, but not released")
	waiting := s.waits(b, "waited for, but not released")
	for _, mode := range [][]sqllock.Option{nil, {sqllock.Shared()}, {sqllock.Permits(3)}} {
		first := s.acquire(a, "n", mode...)
		if mode != nil {
			s.release(s.acquire(a, "n", mode...), s.acquire(b, "n", mode...)) // where several hold
		}
		s.refused(b, "n") // a single attempt does not wait
		s.release(first)
	}
	set, err := a.AcquireAll(t.Context(), []string{"1", "2", "3", "4"})
	require.NoError(t, err)
	require.NoError(t, set.Release(t.Context()))
	require.Empty(t, ear.heard())

	for _, of := range []struct {
		mode    []sqllock.Option
		message string
	}{{nil, "x" + key}, {[]sqllock.Option{sqllock.Shared()}, "s" + key}, {[]sqllock.Option{sqllock.Permits(2)}, "s" + key}} {
		l := s.acquire(a, "n", of.mode...)
		next := s.waits(b, "n")
		s.release(l)
		got := s.granted(next, 0)
		require.Equal(t, []string{of.message}, ear.heard())
		s.release(got)
		require.Empty(t, ear.heard(), "nobody waits any more")
	}
	s.release(elsewhere)
	s.release(s.granted(waiting, 0))
}
