package mysql

import (
	"embed"
	"io/fs"
	"strings"
)

//go:embed sql/*.sql
var sqlFiles embed.FS

// statements are the files of the folder sql by name without ending. As they stand they are for the database app.
type statements map[string]string

// load reads the statements for a database. Comments stay in the files: they need not travel with every statement.
func load(quotedDatabase string) statements {
	files, err := fs.Glob(sqlFiles, "sql/*.sql")
	if err != nil {
		panic(err) // the pattern is constant
	}
	s := make(statements, len(files))
	for _, f := range files {
		text, err := sqlFiles.ReadFile(f)
		if err != nil {
			panic(err) // the file is in this program
		}
		var lines []string
		for line := range strings.Lines(string(text)) {
			if code, _, _ := strings.Cut(line, "--"); strings.TrimSpace(code) != "" {
				lines = append(lines, strings.TrimSpace(code))
			}
		}
		name := strings.TrimSuffix(strings.TrimPrefix(f, "sql/"), ".sql")
		s[name] = strings.ReplaceAll(strings.Join(lines, " "), "app.", quotedDatabase+".")
	}
	return s
}
