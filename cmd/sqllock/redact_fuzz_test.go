//go:build unix

package main

import (
	"strings"
	"testing"
	"unicode"

	"github.com/stretchr/testify/require"
)

// secret is a part of every password that the fuzzers make: where it is seen, the password is.
const secret = "hunter2"

// oneWord is text without what ends a word, or a part of a DSN.
func oneWord(text, without string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) || strings.ContainsRune(without, r) {
			return '_'
		}
		return r
	}, text)
}

// FuzzRedact: whatever stands around a password, and whatever it is made of, it is not in a line that we print.
func FuzzRedact(f *testing.F) {
	for _, password := range []string{"", "p@w", "p:w", "p/w", "p?w#", "p w", "p\nw", "'", `"`, `\`, `\'`, "a&b", "(", "@tcp(", "@/", "%20", "é", "\xff", "=", "…", "`", "(@", " password=", "&password='"} {
		f.Add("", "me", password, "/db")
		f.Add("open ", "me@corp.example", password, "/db: no such file")
		f.Add("postgres://host:5432/db or ", "", password, "\nsecond line\n")
		f.Add(`invalid argument "`, "me/you", password, `" for "--ttl" flag`)
	}
	f.Fuzz(func(t *testing.T, before, user, password, after string) {
		if strings.Contains(before+user+after, secret) {
			t.Skip()
		}
		user = oneWord(user, ":")
		password += secret + password
		inQuery := oneWord(password, "&")
		quoted := "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(password) + "'"
		unquoted := oneWord(password, `'\`)
		tight := strings.TrimLeftFunc(password, unicode.IsSpace)
		for _, s := range []string{
			before + "postgres://" + user + ":" + password + "@host" + after,
			before + "mysql:/" + user + ":" + password + "@host" + after, // what a path makes of it
			before + " " + user + ":" + tight + "@tcp(host:1)" + after,
			before + " " + user + ":" + tight + "@cloud-sql(host)" + after,
			before + " " + user + ":" + tight + "@(host)" + after,
			before + " " + user + ":" + tight + "@/db" + after,
			before + "?password=" + inQuery + "&" + after,
			before + "postgres://host/db?a=b&sslpassword=" + inQuery + "&c=d" + after,
			before + " password=" + quoted + after,
			before + " Password = " + unquoted + " " + after,
		} {
			require.NotContains(t, redact(oneLine(s)), secret, "%q", s)
		}
	})
}
