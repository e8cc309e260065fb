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

// MaxPermits is how many permits one key can have: an attempt may have to try each.
const MaxPermits = 1024

// Classify says what the listed locks mean to those who use this namespace. Sessions of the namespace are known by their marker; of the
// others, locks of keys that are known by name count: transactions, and programs that use the same keys.
func Classify(namespace string, seen []Seen, names map[int64]string) []sqllock.LockInfo {
	ours := make(map[int64]bool)
	pairs := make(map[int64][]Seen)
	for _, l := range seen {
		if !l.Single {
			pairs[l.Key] = append(pairs[l.Key], l)
			if l.Key == marker(namespace, uint32(l.PID)).number() {
				ours[l.PID] = true
			}
		}
	}
	single := make(map[int64][]Seen)
	for key := range names {
		single[key] = nil
	}
	for _, l := range seen {
		if _, known := single[l.Key]; l.Single && (known || ours[l.PID]) {
			single[l.Key] = append(single[l.Key], l)
		}
	}

	var infos []sqllock.LockInfo
	for _, key := range slices.Sorted(maps.Keys(single)) {
		infos = append(infos, classify(keysOf(key), names[key], single[key], pairs, ours)...)
	}
	return infos
}

// classify does so for one key: holders first.
func classify(k keys, name string, single []Seen, pairs map[int64][]Seen, ours map[int64]bool) (infos []sqllock.LockInfo) {
	has := func(p pair, pid int64) bool {
		return slices.ContainsFunc(pairs[p.number()], func(l Seen) bool { return l.PID == pid })
	}
	writers := make(map[int64]bool)
	for _, l := range single {
		info := sqllock.LockInfo{Name: name, Key: FormatKey(k.key), Waiting: !l.Granted, Owner: l.Application, PID: l.PID, Client: l.Client}
		if l.Exclusive {
			infos = append(infos, info)
			writers[l.PID] = l.Granted
			continue
		}
		info.Mode = sqllock.ModeShared
		n := 1
		if ours[l.PID] && has(k.forReaders(), l.PID) {
			info.Mode = sqllock.ModePermit
			n = 0
			for i := range MaxPermits {
				if has(k.slot(i), l.PID) {
					n++
				}
			}
		}
		for range max(n, 1) {
			infos = append(infos, info)
		}
	}
	for _, c := range pairs[k.companion.number()] {
		if ours[c.PID] && !c.Exclusive && !writers[c.PID] { // a writer that waited may give up its companion late
			infos = append(infos, sqllock.LockInfo{Name: name, Key: FormatKey(k.key), Waiting: true, Owner: c.Application, PID: c.PID, Client: c.Client})
		}
	}
	slices.SortStableFunc(infos, func(a, b sqllock.LockInfo) int {
		return cmp.Or(cmp.Compare(bit(a.Waiting), bit(b.Waiting)), cmp.Compare(a.PID, b.PID))
	})
	return infos
}
