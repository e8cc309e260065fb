package mysql

import (
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"github.com/sqllock/toolkit/internal/lease"
)

// want is a [lease.Want] as the statements read it. The name travels as hexadecimal digits: it is compared as bytes, whatever the
// character sets on the way.
type want struct {
	N        int    `json:"n"`
	Name     string `json:"name"`
	Mode     string `json:"mode,omitempty"`
	Permits  int    `json:"permits"`
	Keep     int64  `json:"keep"` // µs
	Metadata string `json:"metadata"`
	Waiter   int64  `json:"waiter"`
}

func wants(all []lease.Want) statement {
	list := make([]want, len(all))
	for n, w := range all {
		list[n] = newWant(n, w)
		if m := lease.EncodeMetadata(w.Metadata); m != nil {
			list[n].Metadata = *m
		}
	}
	return statement{name: "want", args: []any{encode(list)}}
}

func newWant(n int, w lease.Want) want {
	return want{
		N: n, Name: hex.EncodeToString([]byte(w.Name)), Mode: lease.ModeLetter(w.Mode), Permits: w.Permits,
		Keep: w.AtLeast.Microseconds(), Waiter: w.Waiter,
	}
}

func names(all []string) statement {
	list := make([]want, len(all))
	for i, name := range all {
		list[i] = want{N: i, Name: hex.EncodeToString([]byte(name))}
	}
	return statement{name: "want", args: []any{encode(list)}}
}

// holder is a [lease.Ref] as the statements read and write it.
type holder struct {
	Resource int64 `json:"resource"`
	Token    int64 `json:"token"`
}

func holders(refs []lease.Ref) string {
	list := make([]holder, len(refs))
	for i, ref := range refs {
		list[i] = holder(ref)
	}
	return encode(list)
}

// verdicts by their name in refused.sql. What is expired even after an eviction is guarded by a transaction.
var verdicts = map[string]lease.Verdict{"held": lease.Held, "expired": lease.Busy, "busy": lease.Busy, "unseeded": lease.Unseeded}

// refusal is a row of refused.sql. Times are in µs since 1970, as the database counts.
type refusal struct {
	n                     int
	verdict               string
	owner                 *string
	holderEnds, waiterEnd sql.NullInt64
	now                   int64
}

func (f *refusal) scan(r *sql.Rows) error {
	return r.Scan(&f.n, &f.verdict, &f.owner, &f.holderEnds, &f.waiterEnd, &f.now)
}

func (f *refusal) outcome() lease.Outcome {
	o := lease.Outcome{Verdict: verdicts[f.verdict]}
	if f.owner != nil {
		o.Owner = *f.owner
	}
	ends := f.holderEnds
	if f.waiterEnd.Valid && (!ends.Valid || f.waiterEnd.Int64 < ends.Int64) {
		ends = f.waiterEnd
	}
	if ends.Valid {
		o.Expires = time.UnixMicro(ends.Int64)
		o.Retry = max(time.Duration(ends.Int64-f.now)*time.Microsecond, time.Millisecond)
	}
	return o
}

// encode writes a parameter: a list of numbers, or of structs of numbers and strings.
func encode(list any) string {
	b, err := json.Marshal(list)
	if err != nil {
		panic(fmt.Sprintf("mysql: %v", err)) // cannot fail
	}
	return string(b)
}
