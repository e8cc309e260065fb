// Package goosetest has the tests that migrations.GooseLocker is what goose takes for a lock.SessionLocker, and keeps its providers apart.
//
// It is a module of its own so that the library's users do not inherit goose.
package goosetest
