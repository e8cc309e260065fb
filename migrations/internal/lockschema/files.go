package lockschema

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/golang-migrate/migrate/v4/source/iofs"
)

// VersionTable is the name of the version table, without its schema.
const VersionTable = "sqllock_schema_version"

const versionColumns = "(version bigint NOT NULL PRIMARY KEY, dirty boolean NOT NULL)"

// Latest returns the highest version of files.
func Latest(files fs.FS) (int, error) {
	migrations, err := iofs.New(files, ".")
	if err != nil {
		return 0, err
	}
	version, err := migrations.First()
	for err == nil {
		var next uint
		if next, err = migrations.Next(version); err == nil {
			version = next
		}
	}
	if version == 0 || !errors.Is(err, fs.ErrNotExist) {
		return 0, fmt.Errorf("list the migrations: %w", err)
	}
	return int(version), nil
}

// Script returns the up migrations of files, and what makes Up recognise their tables, as one text.
func Script(comment string, files fs.FS) string {
	var b strings.Builder
	b.WriteString(comment)
	names, err := fs.Glob(files, "*.up.sql")
	for _, name := range names {
		statements, readErr := fs.ReadFile(files, name)
		err = errors.Join(err, readErr)
		fmt.Fprintf(&b, "\n-- %s\n\n%s\n", name, strings.TrimSpace(string(statements)))
	}
	latest, latestErr := Latest(files)
	if err = errors.Join(err, latestErr); err != nil {
		panic(err) // the files are compiled in
	}
	fmt.Fprintf(&b, "\n-- The version, by which the toolkit recognises these tables.\n\n")
	fmt.Fprintf(&b, "CREATE TABLE %s %s;\n", VersionTable, versionColumns)
	fmt.Fprintf(&b, "INSERT INTO %s (version, dirty) VALUES (%d, false);\n", VersionTable, latest)
	return b.String()
}
