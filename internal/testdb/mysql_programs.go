package testdb

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
)

const envMySQLBin = "SQLLOCK_TEST_MYSQL_BIN"

// sbin is where Debian installs servers, and not on everybody's PATH. Tests look
// elsewhere.
var sbin = "/usr/sbin"

// mysqlPrograms are what a server of one version is made and run with.
type mysqlPrograms struct {
	server  string // mysqld or mariadbd
	install string // mariadb-install-db; empty for MySQL, whose server does that itself
}

func findMySQLPrograms() (mysqlPrograms, error) {
	if runtime.GOOS != "linux" {
		return mysqlPrograms{}, errors.New("the programs mysqld and mariadbd are run on Linux only")
	}
	if bin := os.Getenv(envMySQLBin); bin != "" {
		// Whoever names a version does not want to have tested another one.
		programs, ok := mysqlProgramsIn(bin)
		if !ok {
			return mysqlPrograms{}, fmt.Errorf("%s=%s: there is no program mysqld, nor mariadbd with mariadb-install-db", envMySQLBin, bin)
		}
		// go test changes into the package's directory.
		if !filepath.IsAbs(bin) {
			return mysqlPrograms{}, fmt.Errorf("%s=%s: must be an absolute path", envMySQLBin, bin)
		}
		return programs, nil
	}
	for _, program := range []string{"mariadbd", "mysqld"} {
		// A server finds its files by the place that it really is in.
		path, err := exec.LookPath(program)
		if err != nil {
			continue
		}
		if path, err = filepath.EvalSymlinks(path); err != nil || !filepath.IsAbs(path) {
			continue
		}
		if programs, ok := mysqlProgramsIn(filepath.Dir(path)); ok {
			return programs, nil
		}
	}
	if programs, ok := mysqlProgramsIn(sbin); ok {
		return programs, nil
	}
	return mysqlPrograms{}, fmt.Errorf("no program mysqld, nor mariadbd with mariadb-install-db, on PATH or in %s", sbin)
}

// mysqlProgramsIn looks for mariadbd first: beside it, a mysqld is the same
// program under its old name.
func mysqlProgramsIn(bin string) (mysqlPrograms, bool) {
	if server := filepath.Join(bin, "mariadbd"); runnable(server) {
		// Debian has it in /usr/bin, MariaDB's own archives in scripts.
		for _, dir := range []string{".", "../bin", "../scripts"} {
			if install := filepath.Join(bin, dir, "mariadb-install-db"); runnable(install) {
				return mysqlPrograms{server: server, install: install}, true
			}
		}
		return mysqlPrograms{}, false
	}
	server := filepath.Join(bin, "mysqld")
	return mysqlPrograms{server: server}, runnable(server)
}
