package testdb

import "path/filepath"

var postgresTemplates = templates[string]{make: makePostgresTemplate}

// makePostgresTemplate makes a data directory with the programs in bin.
func makePostgresTemplate(bin, dir string) error {
	return runAsServer(dir, filepath.Join(bin, "initdb"), "-D", filepath.Join(dir, "data"),
		"-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
}
