package lease

import (
	"encoding/json"
	"fmt"

	"github.com/sqllock/toolkit/sqllock"
)

// ModeLetter is how the tables write a mode.
func ModeLetter(m sqllock.Mode) string {
	return [...]string{sqllock.ModeExclusive: "x", sqllock.ModeShared: "s", sqllock.ModePermit: "p"}[m]
}

// LetterMode reads what [ModeLetter] has written.
func LetterMode(s string) sqllock.Mode {
	switch s {
	case "s":
		return sqllock.ModeShared
	case "p":
		return sqllock.ModePermit
	default:
		return sqllock.ModeExclusive
	}
}

// EncodeMetadata is how the tables write metadata: as a JSON object, or nil for none.
func EncodeMetadata(m map[string]string) *string {
	if m == nil {
		return nil
	}
	b, err := json.Marshal(m)
	if err != nil {
		panic(fmt.Sprintf("lease: a map of strings: %v", err)) // cannot fail
	}
	s := string(b)
	return &s
}

// DecodeMetadata reads what [EncodeMetadata] has written.
func DecodeMetadata(s *string) (map[string]string, error) {
	if s == nil {
		return nil, nil
	}
	var m map[string]string
	err := json.Unmarshal([]byte(*s), &m)
	return m, err
}
