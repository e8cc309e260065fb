package sqllock

import (
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

func FuzzCheckName(f *testing.F) {
	for _, name := range []string{
		"", "n", "nightly-report", "account/7", "ä", "\u00e4", "a\u0308", "日本", "🔒", " ", "\t\n", "'; drop table", "\x00", "a\x00", "\xff", "a\xc3", "\xed\xa0\x80",
		"\ufeff", "\ufffd", strings.Repeat("x", MaxName), strings.Repeat("x", MaxName+1), strings.Repeat("ä", MaxName/2), strings.Repeat("ä", MaxName/2+1),
		strings.Repeat("\xff", MaxName+1),
	} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		text := utf8.ValidString(name) && !strings.ContainsRune(name, 0) && len(name) <= MaxName
		err := CheckName(name)
		if want := text && name != ""; want != (err == nil) {
			t.Fatalf("CheckName(%q) = %v", name, err)
		}
		if err != nil {
			require.ErrorIs(t, err, ErrInvalid)
			require.Less(t, len(err.Error()), 8*MaxName, "not even an error carries all of a name without end")
			require.True(t, utf8.ValidString(err.Error()), "an error can be logged: %q", err.Error())
		}
		if err := CheckNamespace(name); text != (err == nil) || err != nil && !errors.Is(err, ErrInvalid) {
			t.Fatalf("CheckNamespace(%q) = %v", name, err)
		}
	})
}
