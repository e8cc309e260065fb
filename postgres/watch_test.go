package postgres

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/sqllock/toolkit/internal/lease"
)

// TestRenewalConnectsWhileTheListenerCannot has the listener connect to a host that says nothing. A renewal, which has less time than that would take,
// connects by itself.
func TestRenewalConnectsWhileTheListenerCannot(t *testing.T) {
	cfg, err := pgxpool.ParseConfig("postgres://u@127.0.0.1/d?sslmode=disable")
	require.NoError(t, err)
	dialling, errReached := make(chan struct{}), errors.New("reached")
	var dials atomic.Int32
	cfg.ConnConfig.DialFunc = func(ctx context.Context, _, _ string) (net.Conn, error) {
		if dials.Add(1) > 1 {
			return nil, errReached
		}
		close(dialling)
		<-ctx.Done()
		return nil, ctx.Err()
	}
	pool, err := pgxpool.NewWithConfig(t.Context(), cfg)
	require.NoError(t, err)
	defer pool.Close()
	s := newStore(Table(pool), slog.New(slog.DiscardHandler))
	ctx, stop := context.WithCancel(t.Context())
	watching := make(chan struct{})
	go func() {
		defer close(watching)
		s.Watch(ctx, noEvents{})
	}()
	<-dialling
	renewing, cancel := context.WithTimeout(t.Context(), connectTimeout/2)
	defer cancel()
	_, err = s.Renew(renewing, 1, time.Minute)
	require.ErrorIs(t, err, errReached)
	stop()
	<-watching
}

// noEvents has nothing to listen for.
type noEvents struct{ lease.Events }

func (noEvents) Sessions() ([]lease.SessionID, <-chan struct{}) { return nil, nil }
