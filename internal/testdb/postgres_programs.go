package testdb

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
)

const envPostgresBin = "SQLLOCK_TEST_POSTGRES_BIN"

// debianPostgresql is where Debian installs one directory for each version. Tests
// look elsewhere.
var debianPostgresql = "/usr/lib/postgresql"

// postgresPrograms returns the directory that initdb and postgres are run from.
func postgresPrograms() (string, error) {
	if runtime.GOOS != "linux" {
		return "", errors.New("the programs initdb and postgres are run on Linux only")
	}
	if bin := os.Getenv(envPostgresBin); bin != "" {
		// Whoever names a version does not want to have tested another one.
		if !hasPostgres(bin) {
			return "", fmt.Errorf("%s=%s: there are no programs initdb and postgres", envPostgresBin, bin)
		}
		// go test changes into the package's directory.
		if !filepath.IsAbs(bin) {
			return "", fmt.Errorf("%s=%s: must be an absolute path", envPostgresBin, bin)
		}
		return bin, nil
	}
	if bin, ok := postgresOnPath(); ok {
		return bin, nil
	}
	if bin, ok := newestPostgres(debianPostgresql); ok {
		return bin, nil
	}
	return "", fmt.Errorf("no programs initdb and postgres on PATH or below %s", debianPostgresql)
}

// postgresOnPath follows links, since distributions link single programs to a
// place on PATH, and a server needs the files beside the program.
func postgresOnPath() (string, bool) {
	for _, program := range []string{"postgres", "initdb"} {
		path, err := exec.LookPath(program)
		if err != nil {
			continue
		}
		if path, err = filepath.EvalSymlinks(path); err != nil {
			continue
		}
		if bin := filepath.Dir(path); filepath.IsAbs(bin) && hasPostgres(bin) {
			return bin, true
		}
	}
	return "", false
}

// newestPostgres looks through a directory as Debian lays it out: root/15/bin.
func newestPostgres(root string) (string, bool) {
	versions, err := os.ReadDir(root)
	if err != nil {
		return "", false
	}
	var majors []int
	for _, version := range versions {
		if major, err := strconv.Atoi(version.Name()); err == nil {
			majors = append(majors, major)
		}
	}
	slices.Sort(majors)
	for _, major := range slices.Backward(majors) {
		if bin := filepath.Join(root, strconv.Itoa(major), "bin"); hasPostgres(bin) {
			return bin, true
		}
	}
	return "", false
}

func hasPostgres(bin string) bool {
	for _, program := range []string{"initdb", "postgres"} {
		if !runnable(filepath.Join(bin, program)) {
			return false
		}
	}
	return true
}

// runnable tells whether path, which contains a separator, is a program.
func runnable(path string) bool {
	_, err := exec.LookPath(path)
	return err == nil
}
