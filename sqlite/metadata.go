package sqlite

import (
	"database/sql"
	"encoding/json"
	"fmt"
)

func encodeMetadata(m map[string]string) sql.NullString {
	if m == nil {
		return sql.NullString{}
	}
	b, err := json.Marshal(m)
	if err != nil {
		panic(fmt.Sprintf("sqlite: a map of strings: %v", err)) // cannot fail
	}
	return sql.NullString{String: string(b), Valid: true}
}

func decodeMetadata(s sql.NullString) (map[string]string, error) {
	if !s.Valid {
		return nil, nil
	}
	var m map[string]string
	err := json.Unmarshal([]byte(s.String), &m)
	return m, err
}
