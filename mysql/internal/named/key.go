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

// Prefix is how all keys of a namespace in a database begin.
func Prefix(database, namespace string) string {
	sum := sha256.Sum256([]byte(strings.ToLower(database) + "\x00" + namespace))
	return "sqllock." + hex.EncodeToString(sum[:4]) + ":"
}

// KeyOf is the user lock of a name: something for people to read, and the first half of SHA-256(database, 0, namespace, 0, name). User locks belong
// to the whole server, and MySQL does not tell cases apart: so they are lower-case, and begin as no other application's do. Where the names
// of databases have cases, two that differ in nothing else share their locks.
func KeyOf(database, namespace, name string) string {
	prefix := Prefix(database, namespace)
	sum := sha256.Sum256([]byte(strings.ToLower(database) + "\x00" + namespace + "\x00" + name))
	return prefix + readable(name, MaxKey-len(prefix)-1-2*digest) + ":" + hex.EncodeToString(sum[:digest])
}

// readable is as much of a name as fits, in characters that need no quoting anywhere.
func readable(name string, room int) string {
	var b strings.Builder
	for _, r := range strings.ToLower(name) {
		if b.Len() == room {
			break
		}
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9', r == '-', r == '.':
			b.WriteRune(r)
		default:
			b.WriteByte('_')
		}
	}
	return b.String()
}

// Forcing is the lock that somebody takes who wants the holder of key to give it up, and Asking the one that has the session look for
// those; see [Session.ForceRelease].
func Forcing(key string) string { return "sqllock-force:" + key[len(key)-2*digest:] }

func Asking(session uint64) string { return "sqllock-ask:" + strconv.FormatUint(session, 10) }
