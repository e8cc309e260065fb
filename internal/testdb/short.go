package testdb

import "testing"

// skipIfShort is the one place where -short leaves out what needs a server.
func skipIfShort(tb testing.TB) {
	tb.Helper()
	if testing.Short() {
		tb.Skip("needs a database server, which -short leaves out")
	}
}
