package advisory

import (
	"embed"
	"fmt"
	"strings"
)

//go:embed sql/*.sql
var files embed.FS

// token is how the statements read the sequence; as they stand they can be run in psql where that is in the schema public.
const token = "nextval('public.sqllock_token')"

// statement is the text of sql/name.sql for a server whose sequence of tokens has this oid, or none: then every token is 0.
// Comments stay in the files.
func statement(name string, sequence uint32) string {
	text, err := files.ReadFile("sql/" + name + ".sql")
	if err != nil {
		panic(err) // the file is in this program
	}
	var b strings.Builder
	for line := range strings.Lines(string(text)) {
		code, _, _ := strings.Cut(line, "--")
		if code = strings.TrimSpace(code); code != "" {
			b.WriteString(code)
			b.WriteByte(' ')
		}
	}
	next := "0::bigint"
	if sequence != 0 {
		next = fmt.Sprintf("nextval('%d')", sequence)
	}
	return strings.ReplaceAll(b.String(), token, next)
}
