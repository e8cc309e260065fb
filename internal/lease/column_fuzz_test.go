package lease

import (
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/sqllock/toolkit/sqllock"
)

// FuzzMetadata: what is written into a column is what is read from it, and a column that somebody else has written to is metadata or an error.
func FuzzMetadata(f *testing.F) {
	for _, text := range []string{"", "key", `"`, `\`, "'", "</script>&", "\u2028", "\ufeff", "\U0001f512", "\x01\x1f\x7f", "\n", `\u0000`, "null"} {
		f.Add(text, "value", "another", text)
	}
	f.Add("a", "a", "a", "")
	f.Add(`{"a":1}`, `["a"]`, `{"a":"b"}`, `{"a":"b"`)
	f.Fuzz(func(t *testing.T, key, value, other, column string) {
		if utf8.ValidString(key) && utf8.ValidString(value) && utf8.ValidString(other) {
			m := map[string]string{key: value, other: ""}
			encoded := EncodeMetadata(m)
			require.True(t, utf8.ValidString(*encoded))
			decoded, err := DecodeMetadata(encoded)
			require.NoError(t, err)
			require.Equal(t, m, decoded)
		}
		if m, err := DecodeMetadata(&column); err == nil {
			decoded, err := DecodeMetadata(EncodeMetadata(m))
			require.NoError(t, err)
			require.Equal(t, m, decoded)
		}
		for _, mode := range []sqllock.Mode{sqllock.ModeExclusive, sqllock.ModeShared, sqllock.ModePermit} {
			require.Equal(t, mode, LetterMode(ModeLetter(mode)))
			if column != "s" && column != "p" {
				require.Equal(t, sqllock.ModeExclusive, LetterMode(column), "what is not known excludes everybody")
			}
		}
	})
}
