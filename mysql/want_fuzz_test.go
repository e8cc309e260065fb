package mysql

import (
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sqllock/toolkit/internal/lease"
	"github.com/sqllock/toolkit/mysql/internal/named"
	"github.com/sqllock/toolkit/sqllock"
)

// FuzzWants: names and metadata travel as they are, in a parameter that needs nothing but ASCII for the names.
func FuzzWants(f *testing.F) {
	for _, text := range []string{"n", "'", `"`, `\`, "é", "e\u0301", "\U0001f512", "\u2028", "</", "\x01", "\n", "%", "{}", strings.Repeat("a", 255)} {
		f.Add(text, text, text, int64(time.Second), 3, int64(7))
	}
	f.Fuzz(func(t *testing.T, name, key, value string, atLeast int64, permits int, waiter int64) {
		if sqllock.CheckName(name) != nil || sqllock.CheckName(key) != nil || sqllock.CheckNamespace(value) != nil {
			t.Skip()
		}
		metadata := map[string]string{key: value}
		for _, mode := range []sqllock.Mode{sqllock.ModeExclusive, sqllock.ModeShared, sqllock.ModePermit} {
			st := wants([]lease.Want{
				{Name: name, Mode: mode, Permits: permits, AtLeast: time.Duration(atLeast), Metadata: metadata, Waiter: waiter},
				{Name: key},
			})
			var list []want
			require.NoError(t, json.Unmarshal([]byte(st.args[0].(string)), &list))
			require.Len(t, list, 2)
			first, second := list[0], list[1]
			require.Equal(t, []any{0, 1}, []any{first.N, second.N})
			require.Equal(t, []any{name, key}, []any{decoded(t, first.Name), decoded(t, second.Name)})
			require.Equal(t, []any{mode, permits, time.Duration(atLeast).Microseconds(), waiter}, []any{lease.LetterMode(first.Mode), first.Permits, first.Keep, first.Waiter})
			m, err := lease.DecodeMetadata(&first.Metadata)
			require.NoError(t, err)
			require.Equal(t, metadata, m)
			require.Empty(t, second.Metadata)
		}
		var list []want
		require.NoError(t, json.Unmarshal([]byte(names([]string{key, name}).args[0].(string)), &list))
		require.Equal(t, []string{key, name}, []string{decoded(t, list[0].Name), decoded(t, list[1].Name)})
	})
}

func decoded(t *testing.T, digits string) string {
	t.Helper()
	name, err := hex.DecodeString(digits)
	require.NoError(t, err)
	return string(name)
}

// FuzzRefusal: no row that refuses is a grant, whatever is in it, and none is waited for without a pause.
func FuzzRefusal(f *testing.F) {
	for _, verdict := range []string{"held", "expired", "busy", "unseeded", "stale", "", "granted", "HELD"} {
		f.Add(verdict, "owner", int64(5), int64(7), int64(6), true, true)
		f.Add(verdict, "", int64(-5), int64(0), int64(1)<<62, false, true)
	}
	f.Fuzz(func(t *testing.T, verdict, owner string, holderEnds, waiterEnds, now int64, held, waited bool) {
		r := refusal{
			verdict: verdict, owner: &owner, now: now,
			holderEnds: sql.NullInt64{Int64: holderEnds, Valid: held}, waiterEnd: sql.NullInt64{Int64: waiterEnds, Valid: waited},
		}
		o := r.outcome()
		require.NotEqual(t, lease.Granted, o.Verdict)
		require.Zero(t, o.Ref)
		require.Equal(t, owner, o.Owner)
		require.Equal(t, held || waited, o.Retry > 0)
	})
}

// FuzzIdentifier: the name of a database stays inside of its quotes, wherever it is put.
func FuzzIdentifier(f *testing.F) {
	for _, name := range []string{"app", "", "`", "``", "a`; DROP TABLE t; --", "app.", "\\", "'", "\x00", "\xff", "\U0001f512", "é", strings.Repeat("é", 64), strings.Repeat("a", 65)} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if !identifier(name) {
			require.ErrorIs(t, newOptions([]Option{Database(name)}).err, sqllock.ErrInvalid)
			return
		}
		inner, ok := strings.CutPrefix(quote(name), "`")
		require.True(t, ok)
		inner, ok = strings.CutSuffix(inner, "`")
		require.True(t, ok)
		require.Equal(t, name, strings.ReplaceAll(inner, "``", "`"))
		require.NotContains(t, strings.ReplaceAll(inner, "``", ""), "`")
		for file, text := range load(quote(name)) {
			require.Equal(t, strings.ReplaceAll(load("`x`")[file], "`x`.", quote(name)+"."), text)
		}
	})
}

// FuzzListedKey: the keys that a list asks for by their text are ours, and whatever else looks like one cannot end the text.
func FuzzListedKey(f *testing.F) {
	for _, text := range []string{"n", "'", `\`, "sqllock.00000000:n:00000000000000000000000000000000", "a\n", "\na", "é", "a'--"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		require.Regexp(t, key, named.NewKeys(text, text).Of(text))
		if key.MatchString(text) {
			require.NotContains(t, text, "'")
			require.NotContains(t, text, `\`)
			require.NotContains(t, text, "\n")
		}
	})
}
