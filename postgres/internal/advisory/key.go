package advisory

import (
	"crypto/sha256"
	"encoding/binary"
	"strconv"
)

// KeyOf is the key of a name: the first eight bytes of SHA-256(namespace, 0x00, name), big-endian. It is frozen, so that programs of any
// age and language agree.
func KeyOf(namespace, name string) int64 {
	var room [64]byte
	text := append(append(append(room[:0], namespace...), 0), name...)
	sum := sha256.Sum256(text)
	return int64(binary.BigEndian.Uint64(sum[:]))
}

// FormatKey is how a key is written, as PostgreSQL writes a bigint.
func FormatKey(key int64) string { return strconv.FormatInt(key, 10) }

// pair is a lock in PostgreSQL's second space of advisory locks, which no key of a name is in.
type pair struct{ a, b int32 }

func (p pair) number() int64 { return int64(p.a)<<32 | int64(uint32(p.b)) }

// keys are the locks that belong to one key. All follow from the key, so that names that share a key, by a KeyFunc or by accident,
// share everything.
type keys struct {
	key       int64
	companion pair // held shared by sessions that wait
	barrier   pair // and its neighbours: see forReaders and forPermits
	intent    pair // held exclusively by one of those that wait to lock exclusively
}

// keysOf derives the others from SHA-256 of the key's eight bytes: companion, barrier and intent are its bytes 0-7, 8-15 and 16-23.
func keysOf(key int64) keys {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], uint64(key))
	sum := sha256.Sum256(b[:])
	return keys{key: key, companion: pairOf(sum[0:]), barrier: pairOf(sum[8:]), intent: pairOf(sum[16:])}
}

// forReaders is what a reader must be able to lock: held shared by guards of writers and of permits, and by holders of permits.
func (k keys) forReaders() pair { return pair{k.barrier.a, k.barrier.b ^ 1} }

// forPermits is what a permit must be able to lock: held shared by guards of writers and of readers, and by readers.
func (k keys) forPermits() pair { return pair{k.barrier.a, k.barrier.b ^ 2} }

// slot is what the i-th permit is, from 0.
func (k keys) slot(i int) pair { return pairOf(k.digest(i)) }

// slotBarrier is what whoever wants the i-th permit must be able to lock: held shared by guards of its former holders.
func (k keys) slotBarrier(i int) pair { return pairOf(k.digest(i)[8:]) }

func (k keys) digest(i int) []byte {
	var b [12]byte
	binary.BigEndian.PutUint64(b[:], uint64(k.key))
	binary.BigEndian.PutUint32(b[8:], uint32(i))
	sum := sha256.Sum256(b[:])
	return sum[:]
}

// marker is held by every session of a namespace, beside its nonce, so that its locks can be told from those of others.
func marker(namespace string, pid uint32) pair {
	sum := sha256.Sum256([]byte("sqllock\x00" + namespace))
	return pair{pairOf(sum[:]).a, int32(pid)}
}

func pairOf(b []byte) pair {
	return pair{int32(binary.BigEndian.Uint32(b)), int32(binary.BigEndian.Uint32(b[4:]))}
}

// Barrier is what transactions that lock a key themselves take after it.
func Barrier(key int64) [2]int32 {
	b := keysOf(key).barrier
	return [2]int32{b.a, b.b}
}
