//go:build unix

package main

import (
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// shown is everything of a database that errors and logs may show.
func (d database) shown() string {
	switch d.dialect {
	case dialectPostgres:
		c := d.postgres.ConnConfig
		return fmt.Sprintf("%q", []any{c.Host, c.Port, c.Database, c.User, c.RuntimeParams, c.Fallbacks, d.postgres.ConnString()})
	case dialectMySQL:
		c := d.mysql
		return fmt.Sprintf("%q", []any{c.Net, c.Addr, c.DBName, c.User, c.Params, c.Collation, c.ConnectionAttributes})
	default:
		return d.file
	}
}

func (d database) password() string {
	switch d.dialect {
	case dialectPostgres:
		return d.postgres.ConnConfig.Password
	case dialectMySQL:
		return d.mysql.Passwd
	default:
		return ""
	}
}

// FuzzPasswordOfDSN: however a password is torn by what it should not contain, it is a password or nothing, and no error shows it.
func FuzzPasswordOfDSN(f *testing.F) {
	for _, password := range []string{"", "p@w", "p:w", "p/w", "p?w", "p#w", "p w", "p\nw", "%zz", "%40", "1/", "12?", "1@h/", "1@h?a=", "1@h#", ")/", "@tcp(h)/", "é", "\xff", "&", "=", ";", "[", "]", "\x00"} {
		f.Add("me", password, "host/db")
		f.Add("me", password, "host:99999999/db?sslmode=nonsense")
		f.Add("", password, "[::1/db?timeout=many")
		f.Add("me@corp.example", password, "/%zz")
		f.Add("a:b", password, "h:1,h:2/db?connect_timeout=many&pool_max_conns=x&a=%zz")
	}
	f.Fuzz(func(t *testing.T, user, password, rest string) {
		if strings.Contains(user+rest, secret) {
			t.Skip()
		}
		password += secret + password
		host, parameters, _ := strings.Cut(rest, "?")
		for _, dsn := range []string{
			"postgres://" + user + ":" + password + "@" + rest,
			"postgresql://" + user + "@" + host + "?" + parameters + "&password=" + url.QueryEscape(password),
			"postgres://" + user + "@" + host + "?password=" + url.QueryEscape(password) + "&" + parameters,
			"mysql://" + user + ":" + password + "@" + rest,
			"mariadb://" + user + ":" + password + "@" + rest,
			user + ":" + password + "@tcp(" + rest,
			user + ":" + password + "@tcp(" + host + ")/db?" + parameters,
			user + ":" + password + "@" + rest,
		} {
			db, err := parseDSN(dsn)
			if err != nil {
				require.Equal(t, exitUsage, exitCode(err), "%q", dsn)
				require.NotContains(t, err.Error(), secret, "%q", dsn)
				continue
			}
			if db.dialect == dialectSQLite {
				continue // user is "sqlite", or begins so: then this is a path
			}
			require.True(t, db.secret, "%q", dsn)
			require.Contains(t, db.password(), secret, "%q", dsn)
			require.NotContains(t, db.shown(), secret, "%q", dsn)
		}
	})
}

// FuzzURL: what was encoded as a URL says is what the server gets, byte for byte.
func FuzzURL(f *testing.F) {
	for _, text := range []string{"", "n", "sp ace", "a/b", "a?b", "a#b", "a@b", "a:b", "a%b", "%41", "é", "日本", "'", `"`, `\`, "a&b", "a=b", "a+b", "(", ")", "`", "\x01", "\n", "a;b"} {
		f.Add(text, text, text, text)
		f.Add("me", text, "db", "Europe/Berlin")
		f.Add(text, "pw", "db", "")
	}
	f.Fuzz(func(t *testing.T, user, password, name, value string) {
		for _, part := range []string{user, password, name, value} {
			if part == "" || strings.IndexByte(part, 0) >= 0 || strings.HasPrefix(name, "/") {
				t.Skip()
			}
		}
		encode := func(text string) string { return strings.ReplaceAll(url.QueryEscape(text), "+", "%20") }
		at := encode(user) + ":" + encode(password) + "@host.example:4711/" + encode(name) + "?application_name="

		for _, encoded := range []string{encode(value), strings.ReplaceAll(encode(value), "%2B", "+")} { // which is no space to PostgreSQL
			db, err := parseDSN("postgres://" + at + encoded)
			require.NoError(t, err, encoded)
			c := db.postgres.ConnConfig
			require.Equal(t, []any{"host.example", uint16(4711), user, password, name, value}, []any{c.Host, c.Port, c.User, c.Password, c.Database, c.RuntimeParams["application_name"]})
		}
		for _, encoded := range []string{encode(value), url.QueryEscape(value), strings.ReplaceAll(encode(value), "%2F", "/")} { // which a URL may have here
			db, err := parseDSN("mysql://" + at + encoded)
			require.NoError(t, err, encoded)
			m := db.mysql
			require.Equal(t, []any{"tcp", "host.example:4711", user, password, name, value}, []any{m.Net, m.Addr, m.User, m.Passwd, m.DBName, m.Params["application_name"]})
		}

		db, err := parseDSN("sqlite:///" + name)
		require.NoError(t, err)
		require.Equal(t, "///"+name, db.file)
	})
}
