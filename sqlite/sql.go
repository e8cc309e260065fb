package sqlite

import (
	"embed"
	"io/fs"
	"strings"
)

//go:embed sql/*.sql
var sqlFiles embed.FS

// statements are the files of the folder sql by name without ending.
var statements = func() map[string]string {
	files, err := fs.Glob(sqlFiles, "sql/*.sql")
	if err != nil {
		panic(err) // the pattern is constant
	}
	s := make(map[string]string, len(files))
	for _, f := range files {
		text, err := sqlFiles.ReadFile(f)
		if err != nil {
			panic(err) // the file is in this program
		}
		s[strings.TrimSuffix(strings.TrimPrefix(f, "sql/"), ".sql")] = string(text)
	}
	return s
}()
