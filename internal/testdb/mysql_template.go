package testdb

import (
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

var (
	//go:embed sql/mariadb_init.sql
	mariadbInit []byte
	//go:embed sql/mysql_init.sql
	mysqlInit []byte
)

var mysqlTemplates = templates[mysqlPrograms]{make: makeMySQLTemplate}

// makeMySQLTemplate makes a data directory with an empty database, test, and a
// user root without a password.
func makeMySQLTemplate(programs mysqlPrograms, dir string) error {
	data, script := filepath.Join(dir, "data"), filepath.Join(dir, "init.sql")
	program, init := programs.server, mysqlInit
	args := append(mysqldArgs(data, nil), "--initialize-insecure", "--init-file="+script)
	if programs.install != "" {
		program, init = programs.install, mariadbInit
		args = append(mysqldArgs(data, nil), "--auth-root-authentication-method=normal", "--cross-bootstrap", "--skip-test-db", "--extra-file="+script)
	}
	if err := errors.Join(os.WriteFile(script, init, 0o600), handOver(script)); err != nil {
		return fmt.Errorf("testdb: %w", err)
	}
	if err := runAsServer(dir, program, args...); err != nil {
		return err
	}
	// By this, a server of MySQL is told from all others; it makes it anew.
	if err := os.Remove(filepath.Join(data, "auto.cnf")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("testdb: %w", err)
	}
	return nil
}
