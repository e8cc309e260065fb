package main

import (
	"io"
	"regexp"
)

// Where passwords are: in a URL (or what a path makes of it), up to the last @ of the line, because such a password may contain all that it
// should not; before the network of a MySQL DSN; and among parameters.
var (
	passwordInURL   = regexp.MustCompile(`(:/+[^:/@\s]*:).*@`)
	passwordInDSN   = regexp.MustCompile(`([^\s:/@]*:).*@([a-z0-9]+\()`)
	passwordSetting = regexp.MustCompile(`(?i)(password\s*=\s*)('[^']*'|[^\s&'"]+)`)
)

// redact blots passwords out of whatever is shown. Nothing that we show is known to contain one: it is for arguments that ended up in
// the wrong place, and for what others may put into their errors.
func redact(s string) string {
	s = passwordInURL.ReplaceAllString(s, "${1}xxxxx@")
	s = passwordInDSN.ReplaceAllString(s, "${1}xxxxx@${2}")
	return passwordSetting.ReplaceAllString(s, "${1}xxxxx")
}

// redacting is a writer of whole lines.
type redacting struct{ io.Writer }

func (r redacting) Write(line []byte) (int, error) {
	if _, err := io.WriteString(r.Writer, redact(string(line))); err != nil {
		return 0, err
	}
	return len(line), nil
}
