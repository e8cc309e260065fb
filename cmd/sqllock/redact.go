package main

import (
	"io"
	"regexp"
	"strings"
)

// passwords are where some may be: in a URL (or what a path makes of it), up to the last @ of the line, because such a password may contain all
// that it should not, or to where a long text was cut off; before the network of a MySQL DSN, where a colon and a space are prose; and among parameters.
var passwords = []*regexp.Regexp{
	regexp.MustCompile(`:/+[^:\s]*:(.*)(?:@|…)`),
	regexp.MustCompile(`[^\s:/@]*:(\S.*)@(?:[^\s@()/]*\(|/)`),
	regexp.MustCompile(`(?i)[?&]\w*password=([^\s&]+)|password\s*=\s*('.*'|'.*|(?:\\.|\S)+)`),
}

// redact blots passwords out of a line, and rather too much than too little. Nothing that we show is known to contain one: it is for arguments
// that ended up in the wrong place, and for what others may put into their errors.
func redact(line string) string {
	hidden := make([]bool, len(line))
	for _, password := range passwords {
		for _, found := range password.FindAllStringSubmatchIndex(line, -1) {
			for group := 2; group < len(found); group += 2 {
				for i := found[group]; i < found[group+1]; i++ {
					hidden[i] = true
				}
			}
		}
	}
	var b strings.Builder
	for i := range len(line) {
		switch {
		case !hidden[i]:
			b.WriteByte(line[i])
		case i == 0 || !hidden[i-1]:
			b.WriteString("xxxxx")
		}
	}
	return b.String()
}

// redacting is a writer of whole lines.
type redacting struct{ io.Writer }

func (r redacting) Write(line []byte) (int, error) {
	if _, err := io.WriteString(r.Writer, redact(string(line))); err != nil {
		return 0, err
	}
	return len(line), nil
}
