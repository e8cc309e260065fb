package named

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sqllock/toolkit/sqllock"
)

// TestForceReleaseIsNotConfirmedByAnOlderRequest, which goes on for longer than its caller waits: what it has seen may have been the end of a former
// holder.
func TestForceReleaseIsNotConfirmedByAnOlderRequest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		asked := make(chan chan error)
		s := Open(Config{
			SessionConfig: sqllock.SessionConfig{Clock: sqllock.SystemClock, Rand: rand.NewPCG(1, 1), Logger: slog.New(slog.DiscardHandler)},
			Connector:     Connector{timeout: time.Hour},
			Key:           func(name string) string { return name },
			Force: func(context.Context, string) error {
				answer := make(chan error)
				asked <- answer
				return <-answer
			},
		})
		impatient, cancel := context.WithCancel(t.Context())
		first, second := make(chan error, 1), make(chan error, 1)
		go func() { first <- s.ForceRelease(impatient, "n") }()
		older := <-asked
		cancel()
		require.ErrorIs(t, <-first, sqllock.ErrNotConfirmed)

		go func() { second <- s.ForceRelease(t.Context(), "n") }()
		synctest.Wait()
		require.Empty(t, asked, "the older request is still on its way")
		older <- nil
		select {
		case err := <-second:
			t.Fatal("the present holder was not asked: ", err)
		case newer := <-asked:
			newer <- sqllock.ErrNotConfirmed
		}
		require.ErrorIs(t, <-second, sqllock.ErrNotConfirmed)
		require.NoError(t, s.Close(t.Context()))
	})
}
