package advisory

import (
	"cmp"
	"maps"
	"slices"

	"github.com/sqllock/toolkit/sqllock"
)

// Seen is one advisory lock as the server lists it.
type Seen struct {
	Single             bool // of the space of keys
	Key                int64
	Exclusive, Granted bool
	PID                int64
	Application        string
	Client             string
}

// maxSlots is how many slots of a key are looked for in a list.
const maxSlots = 64

// Classify says what the listed locks mean to those who use this namespace. Sessions of the namespace are known by their marker; of the
// others, locks of keys that are known by name count: transactions, and programs that use the same keys.
func Classify(namespace string, seen []Seen, names map[int64]string) []sqllock.LockInfo {
	ours := make(map[int64]bool)
	pairs := make(map[int64]map[int64]Seen) // by process, then pair
	single := make(map[int64]bool)
	for _, l := range seen {
		if l.Single {
			continue
		}
		if l.Key == marker(namespace, uint32(l.PID)).number() {
			ours[l.PID] = true
		}
		if pairs[l.PID] == nil {
			pairs[l.PID] = make(map[int64]Seen)
		}
		pairs[l.PID][l.Key] = l
	}
	for _, l := range seen {
		if l.Single && (ours[l.PID] || names[l.Key] != "") {
			single[l.Key] = true
		}
	}
	for key := range names {
		single[key] = true
	}

	var infos []sqllock.LockInfo
	for _, key := range slices.Sorted(maps.Keys(single)) {
		k := keysOf(key)
		first := len(infos)
		for _, l := range seen {
			if !l.Single || l.Key != key {
				continue
			}
			info := sqllock.LockInfo{Name: names[key], Key: FormatKey(key), Waiting: !l.Granted, Owner: l.Application, PID: l.PID, Client: l.Client}
			if l.Exclusive {
				infos = append(infos, info)
				continue
			}
			info.Mode = sqllock.ModeShared
			n := 1
			if _, permits := pairs[l.PID][k.forReaders().number()]; permits && ours[l.PID] {
				info.Mode = sqllock.ModePermit
				n = 0
				for i := range maxSlots {
					if _, taken := pairs[l.PID][k.slot(i).number()]; taken {
						n++
					}
				}
			}
			for range max(n, 1) {
				infos = append(infos, info)
			}
		}
		for pid := range ours {
			c, waits := pairs[pid][k.companion.number()]
			if !waits || c.Exclusive {
				continue
			}
			info := sqllock.LockInfo{Name: names[key], Key: FormatKey(key), Waiting: true, Owner: c.Application, PID: pid, Client: c.Client}
			if !slices.ContainsFunc(infos[first:], func(held sqllock.LockInfo) bool {
				return held.PID == pid && !held.Waiting && held.Mode == sqllock.ModeExclusive
			}) {
				infos = append(infos, info)
			}
		}
		slices.SortStableFunc(infos[first:], func(a, b sqllock.LockInfo) int {
			if a.Waiting != b.Waiting {
				return cmp.Compare(bit(a.Waiting), bit(b.Waiting))
			}
			return cmp.Compare(a.PID, b.PID)
		})
	}
	return infos
}
