package advisory

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/sqllock/toolkit/sqllock"
)

// FuzzNotified: anybody who may connect to the database may NOTIFY our channel, whatever they like.
func FuzzNotified(f *testing.F) {
	key := FormatKey(testKey)
	for _, message := range []string{
		"", "x", "s", "f", "d", " ", "x ", "f  ", "d  ", "\x00", "\xff", "that is all", "{}",
		"x" + key, "s" + key, "x" + key + " ", "q" + key, "F" + key + " id", " f" + key + " id", "f " + key + " id",
		"f" + key + ".0 id", "f" + key + "0 id", "f0" + key + " id", "f+" + key + " id", "f9223372036854775808 id", "f-9223372036854775809 id",
		"f" + key + " " + strings.Repeat("i", 7000), "d" + testForce, "d" + testForce + " ", "d" + testForce + " 0", "d" + testForce + " x", "d" + testForce + " 4711 ",
		"dother 4711", "x" + strings.Repeat("9", 7000),
	} {
		f.Add(message)
	}
	f.Fuzz(func(t *testing.T, message string) {
		// What our sessions send means something, and is left to the tests with a server.
		what, id, _ := strings.Cut(message, " ")
		if what == "f"+key && len(id) <= maxForceID || message == fmt.Sprint("d", testForce, " ", testPID) {
			t.Skip()
		}
		s := Open(Config{
			SessionConfig: sqllock.SessionConfig{Clock: sqllock.SystemClock, Rand: rand.NewPCG(1, 1), Logger: slog.New(slog.DiscardHandler)},
			Connector:     Connector{Dial: func(context.Context) (*pgx.Conn, error) { return nil, errors.New("no server") }, Timeout: time.Minute},
			Key:           func(string) int64 { return testKey },
			MaxLocks:      10,
		})
		e := s.entry(testKey)
		h := &Hold{entry: e, req: &sqllock.Request{Name: "n"}}
		e.add(h)
		other := &force{pids: map[int64]bool{testPID: true}, done: make(chan struct{})}
		s.forcing[testForce] = other

		s.notified(message, false)

		s.mu.Lock()
		s.closed = true
		s.mu.Unlock()
		s.die()
		s.dials.Wait()
		require.Nil(t, h.ended.Load())
		require.False(t, h.leaving)
		require.Equal(t, int32(1), e.count)
		require.Nil(t, e.busy, "nothing is asked of the server")
		require.Empty(t, s.asking)
		require.Len(t, other.pids, 1)
		require.Len(t, s.entries, 1)
	})
}

const (
	testKey   = int64(974061941309191856)
	testForce = "1y2p0ij32e8e7"
	testPID   = int64(4711)
)
