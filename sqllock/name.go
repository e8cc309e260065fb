package sqllock

import (
	"strings"
	"unicode/utf8"
)

// MaxName is the length of the longest name and the longest namespace, in bytes.
const MaxName = 255

// CheckName reports whether name can be locked: non-empty, valid UTF-8 without U+0000, at most [MaxName] bytes.
// Names are compared byte by byte and not normalised. The error matches [ErrInvalid].
func CheckName(name string) error {
	if name == "" {
		return invalid("the name of a lock cannot be empty")
	}
	return checkText("name", name)
}

// CheckNamespace is [CheckName] for a namespace, which may also be empty.
func CheckNamespace(namespace string) error { return checkText("namespace", namespace) }

func checkText(what, s string) error {
	switch {
	case len(s) > MaxName:
		return invalid("the %s %.32q… has %d bytes, the limit is %d", what, s, len(s), MaxName)
	case !validText(s):
		return invalid("the %s %q is not UTF-8 without U+0000", what, s)
	}
	return nil
}

func validText(s string) bool { return utf8.ValidString(s) && strings.IndexByte(s, 0) < 0 }
