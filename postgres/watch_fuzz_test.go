package postgres

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sqllock/toolkit/internal/lease"
	"github.com/sqllock/toolkit/sqllock"
)

// heard writes down what a notification means.
type heard struct {
	lease.Events
	said []string
}

func (h *heard) Observed(id lease.SessionID, epoch int64) {
	h.said = append(h.said, fmt.Sprint("epoch ", id, " ", epoch))
}

func (h *heard) Woken(waiter int64) { h.said = append(h.said, fmt.Sprint("woken ", waiter)) }

// FuzzNotification: anybody who may connect may NOTIFY our channels, whatever they like. It means what we would have meant by it, or nothing.
func FuzzNotification(f *testing.F) {
	for _, payload := range []string{
		"", "e", "w", "e1", "w2", "e-1", "w+7", "w007", "x1", "e 1", "e1 ", "e1.0", "e99999999999999999999", "w9223372036854775807", "é1", "\xff", "\x00", "e1\n", "E1",
	} {
		f.Add("sqllock_1", payload)
		f.Add(payload, "e1")
	}
	for _, channel := range []string{"", "sqllock", "sqllock_", "sqllock_x", "sqllock_-1", "sqllock_99999999999999999999", "another1"} {
		f.Add(channel, "w1")
	}
	f.Fuzz(func(t *testing.T, from, payload string) {
		h := new(heard)
		deliver(from, payload, h)
		require.LessOrEqual(t, len(h.said), 1)
		if len(h.said) == 0 {
			return
		}
		require.True(t, strings.HasPrefix(from, channelPrefix))
		n, err := strconv.ParseInt(payload[1:], 10, 64)
		require.NoError(t, err)
		switch payload[0] {
		case 'e':
			id, err := strconv.ParseInt(strings.TrimPrefix(from, channelPrefix), 10, 64)
			require.NoError(t, err)
			require.Equal(t, fmt.Sprint("epoch ", id, " ", n), h.said[0])
		case 'w':
			require.Equal(t, fmt.Sprint("woken ", n), h.said[0])
		default:
			t.Fatalf("%q means %q", payload, h.said[0])
		}
	})
}

// FuzzChannel: a session hears what is said on its channel.
func FuzzChannel(f *testing.F) {
	f.Add(int64(0), int64(0))
	f.Add(int64(1), int64(1)<<62)
	f.Add(int64(-1)<<63, int64(-1))
	f.Fuzz(func(t *testing.T, id, n int64) {
		h := new(heard)
		deliver(channel(lease.SessionID(id)), "e"+strconv.FormatInt(n, 10), h)
		deliver(channel(lease.SessionID(id)), "w"+strconv.FormatInt(n, 10), h)
		require.Equal(t, []string{fmt.Sprint("epoch ", id, " ", n), fmt.Sprint("woken ", n)}, h.said)
	})
}

// FuzzSchema: the name of a schema stays inside of its quotes, wherever it is put.
func FuzzSchema(f *testing.F) {
	for _, name := range []string{"public", "", `"`, `""`, `a"; DROP TABLE t; --`, "public.", "$1", `\`, "'", "\x00", "\xff", "é", strings.Repeat("é", 31), strings.Repeat("a", 64)} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		o := newOptions([]Option{Schema(name)})
		if sqllock.CheckName(name) != nil || len(name) > 63 {
			require.ErrorIs(t, o.err, sqllock.ErrInvalid)
			return
		}
		require.NoError(t, o.err)
		quoted := o.quotedSchema()
		inner, ok := strings.CutPrefix(quoted, `"`)
		require.True(t, ok)
		inner, ok = strings.CutSuffix(inner, `"`)
		require.True(t, ok)
		require.Equal(t, name, strings.ReplaceAll(inner, `""`, `"`))
		require.NotContains(t, strings.ReplaceAll(inner, `""`, ""), `"`)
		for file, text := range load(quoted) {
			require.Equal(t, strings.ReplaceAll(load("x")[file], "x.", quoted+"."), text, file)
		}
	})
}
