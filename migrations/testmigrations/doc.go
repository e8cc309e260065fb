// Package testmigrations has the tests of package migrations that need servers and processes: replicas of an application that migrate real
// databases when they start, under the locks of this toolkit and, side by side, under golang-migrate's own.
package testmigrations
