package leaderelect

import (
	"context"
	"maps"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/sqllock/toolkit/sqllock"
)

// publishing is a Client's backend in which somebody leads.
type publishing struct {
	sqllock.Backend
	sqllock.Session
	leader sqllock.Leader
}

func (p *publishing) Capabilities() sqllock.Capabilities { return sqllock.Capabilities{Metadata: true} }

func (p *publishing) Key(name string) string { return name }

func (p *publishing) Open(sqllock.SessionConfig) (sqllock.Session, error) { return p, nil }

func (p *publishing) Leader(context.Context, string) (sqllock.Leader, error) { return p.leader, nil }

func (p *publishing) PublishLeader(context.Context, sqllock.Hold, map[string]string) error {
	return nil
}

// FuzzPublished: what a candidate tells of itself is what others see of it, or is refused before it campaigns. What others have published, who need not
// be electors, is seen as well.
func FuzzPublished(f *testing.F) {
	for _, text := range []string{"", "web-1", idKey, "\x00", "\xff", "'", `"`, "é", "\n", strings.Repeat("x", sqllock.MaxName+1), strings.Repeat("x", sqllock.MaxMetadata), strings.Repeat("\xff", sqllock.MaxMetadata)} {
		f.Add(text, "address", "10.0.0.7:8080")
		f.Add("web-1", text, text)
		f.Add("", text, "value")
	}
	f.Fuzz(func(t *testing.T, id, key, value string) {
		p := new(publishing)
		locks := sqllock.New(p)
		e, err := New(locks, "n", Config{ID: id, Value: map[string]string{key: value}})
		text := func(s string) bool { return utf8.ValidString(s) && !strings.Contains(s, "\x00") }
		size := len(key) + len(value)
		if id != "" {
			size += len(idKey) + len(id)
		}
		if !text(id) || !text(key) || !text(value) || key == idKey || len(id) > sqllock.MaxName || size > sqllock.MaxMetadata {
			require.ErrorIs(t, err, sqllock.ErrInvalid)
			require.Less(t, len(err.Error()), 8*sqllock.MaxName)
		} else {
			require.NoError(t, err)
			p.leader = sqllock.Leader{Name: "n", Owner: "owner", Token: 7, Value: maps.Clone(e.value)}
			leader, err := e.Leader(t.Context())
			require.NoError(t, err)
			if id == "" {
				id = "owner"
			}
			require.Equal(t, id, leader.ID)
			require.Equal(t, map[string]string{key: value}, leader.Value)
			require.Equal(t, e.value, p.leader.Value, "what the backend has said is its own")
		}

		watcher, err := New(locks, "n", Config{})
		require.NoError(t, err)
		p.leader = sqllock.Leader{Name: "n", Owner: id, Value: map[string]string{key: value}}
		leader, err := watcher.Leader(t.Context())
		require.NoError(t, err)
		if key == idKey {
			require.Equal(t, value, leader.ID)
			require.Empty(t, leader.Value)
		} else {
			require.Equal(t, id, leader.ID)
			require.Equal(t, map[string]string{key: value}, leader.Value)
		}
	})
}
