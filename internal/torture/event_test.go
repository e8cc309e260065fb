//go:build linux

package torture

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestHistoryOfAKilledProcessLacksItsLastLineAtMost(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "history")
	r, err := newRecorder(7, path)
	require.NoError(t, err)
	r.record(Event{What: evAcquire, Hold: 1, Name: 2})
	r.record(Event{What: evGranted, Hold: 1, Name: 2, Token: 3})
	require.NoError(t, r.end())
	whole, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, whole[:len(whole)-5], 0o600))

	events, err := readEvents(path)
	require.NoError(t, err)
	require.Len(t, events, 1)
	assert.Equal(t, Event{At: events[0].At, What: evAcquire, Process: 7, Hold: 1, Name: 2}, events[0])

	require.NoError(t, os.WriteFile(path, append([]byte("{\n"), whole...), 0o600))
	_, err = readEvents(path)
	assert.Error(t, err, "a line in the middle that is no event")
}

func TestHistoryOfNothingKnownIsRefused(t *testing.T) {
	t.Parallel()
	for _, e := range []Event{
		{What: evGranted, Process: 1, Hold: 1},
		{What: evCommitted, Process: 1, Tx: 1},
		{What: "sleeps", Process: 1},
	} {
		_, err := newHistory([]Event{e})
		assert.Error(t, err, e.What)
	}
}
