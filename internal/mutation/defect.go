package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// defect is one thing that could be wrong.
type defect struct {
	name string // area/what-is-wrong
	harm string // what users would see
	file string // from the root of the module
	old  string // occurs once in file
	new  string

	pkg   string // whose tests find it
	run   string // these
	hangs bool   // a wake-up is lost: the tests may wait until their timeout
}

// defects are all, by area.
var defects = slices.Concat(
	leaseDefects, clientDefects,
	advisoryDefects, postgresTableDefects,
	namedDefects, mysqlTableDefects,
	sqliteDefects,
	electionDefects, migrationDefects, commandDefects,
)

// mutated is the text of the file with the defect in it.
func (d defect) mutated(root string) (string, error) {
	text, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(d.file)))
	if err != nil {
		return "", err
	}
	switch n := strings.Count(string(text), d.old); {
	case d.old == "" || d.old == d.new:
		return "", fmt.Errorf("%s changes nothing", d.name)
	case n != 1:
		return "", fmt.Errorf("%s: the text to replace occurs %d times in %s, and not once", d.name, n, d.file)
	}
	return strings.Replace(string(text), d.old, d.new, 1), nil
}
