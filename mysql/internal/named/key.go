package named

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"strings"
)

// MaxKey is how long the name of a user lock may be on MySQL; MariaDB allows 192
// (https://dev.mysql.com/doc/refman/en/locking-functions.html).
const MaxKey = 64

const digest = 16 // bytes

// Keys makes the user locks of one namespace in one database: something for people to read, and the first half of
// SHA-256(database, 0, namespace, 0, name). User locks belong to the whole server, and MySQL does not tell cases apart: so they are lower-case, and
// begin as no other application's do. Where the names of databases have cases, two that differ in nothing else share their locks.
type Keys struct {
	salt   string
	prefix string
}

// NewKeys makes those of a namespace in a database.
func NewKeys(database, namespace string) Keys {
	salt := strings.ToLower(database) + "\x00" + namespace
	sum := sha256.Sum256([]byte(salt))
	return Keys{salt: salt + "\x00", prefix: "sqllock." + hex.EncodeToString(sum[:4]) + ":"}
}

// Prefix is how all of them begin.
func (k Keys) Prefix() string { return k.prefix }

// Of is the user lock of a name.
func (k Keys) Of(name string) string {
	sum := sha256.Sum256([]byte(k.salt + name))
	b := make([]byte, 0, MaxKey)
	b = append(b, k.prefix...)
	b = appendReadable(b, name, MaxKey-len(k.prefix)-1-2*digest)
	b = append(b, ':')
	return string(hex.AppendEncode(b, sum[:digest]))
}

// appendReadable appends as much of a name as fits, in characters that need no quoting anywhere.
func appendReadable(b []byte, name string, room int) []byte {
	for _, r := range name {
		if room--; room < 0 {
			break
		}
		switch {
		case r >= 'A' && r <= 'Z':
			r += 'a' - 'A'
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9', r == '-', r == '.':
		default:
			r = '_'
		}
		b = append(b, byte(r))
	}
	return b
}

// Forcing is the lock that somebody takes who wants the holder of key to give it up; see [Session.ForceRelease].
func Forcing(key string) string { return "sqllock-force:" + key[len(key)-2*digest:] }

// Asking is the lock that has a session look for those.
func Asking(session uint64) string { return "sqllock-ask:" + strconv.FormatUint(session, 10) }
