package main

import "embed"

//go:embed sql
var statements embed.FS

// text is a statement of the folder sql.
func text(name string) string {
	content, err := statements.ReadFile("sql/" + name + ".sql")
	if err != nil {
		panic(err) // it is embedded
	}
	return string(content)
}
