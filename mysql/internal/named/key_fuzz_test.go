package named

import (
	"crypto/sha256"
	"encoding/hex"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sqllock/toolkit/sqllock"
)

// FuzzKeys: a key needs no quoting and fits, has the form that is frozen, and is another one for another name, namespace or database.
func FuzzKeys(f *testing.F) {
	for _, name := range []string{"n", "N", "nightly-report", "a:b", "é", "e\u0301", "日本語", "'; --", `\`, "\n", "%", "_", "İ", strings.Repeat("a", 255), strings.Repeat("🔒", 63)} {
		f.Add("app", "", name, "app", "", name+" ")
		f.Add("app", name, "n", "app", "n", name)
		f.Add(name, "n", "n", "n", name, "n")
	}
	plain := regexp.MustCompile(`^sqllock\.[0-9a-f]{8}:[a-z0-9._-]{0,14}:[0-9a-f]{32}$`)
	f.Fuzz(func(t *testing.T, database, namespace, name, otherDatabase, otherNamespace, otherName string) {
		for _, n := range []string{name, otherName} {
			if sqllock.CheckName(n) != nil {
				t.Skip()
			}
		}
		for _, n := range []string{database, namespace, otherDatabase, otherNamespace} {
			if sqllock.CheckNamespace(n) != nil {
				t.Skip()
			}
		}
		keys := NewKeys(database, namespace)
		key := keys.Of(name)
		require.Regexp(t, plain, key)
		require.LessOrEqual(t, len(key), MaxKey)
		require.True(t, strings.HasPrefix(key, keys.Prefix()))
		salt := strings.ToLower(database) + "\x00" + namespace
		of, all := sha256.Sum256([]byte(salt)), sha256.Sum256([]byte(salt+"\x00"+name))
		require.Equal(t, "sqllock."+hex.EncodeToString(of[:4])+":", keys.Prefix())
		require.True(t, strings.HasSuffix(key, ":"+hex.EncodeToString(all[:16])))
		require.LessOrEqual(t, len(Forcing(key)), MaxKey)

		lower, otherLower := strings.ToLower(database), strings.ToLower(otherDatabase)
		same := lower == otherLower && namespace == otherNamespace && name == otherName
		require.Equal(t, same, key == NewKeys(otherDatabase, otherNamespace).Of(otherName))
	})
}

// FuzzSign: what a Client calls itself does not end the comment that it is in.
func FuzzSign(f *testing.F) {
	for _, owner := range []string{"", "host/1", "*/; DROP TABLE t; --", "*", "**//", "/*", "/* a */", "\n", "\x00", "\\", "é", "\xff", "'", "`", "!50000 SELECT 1"} {
		f.Add(owner)
	}
	plain := regexp.MustCompile(`^ /\* [ -)+-\[\]-~]* \*/$`)
	f.Fuzz(func(t *testing.T, owner string) {
		require.Regexp(t, plain, sign(owner))
		for _, r := range owner {
			if r < ' ' || r > '~' || r == '*' || r == '\\' {
				return
			}
		}
		require.Equal(t, " /* "+owner+" */", sign(owner))
	})
}
