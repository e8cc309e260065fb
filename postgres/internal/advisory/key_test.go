package advisory

import (
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestKeysAreFrozen: programs of any age and language meet at these numbers. They were computed with
//
//	printf '%s\0%s' "$namespace" "$name" | sha256sum
func TestKeysAreFrozen(t *testing.T) {
	t.Parallel()
	for _, v := range []struct {
		namespace, name string
		key             int64
	}{
		{"", "n", 974061941309191856},         // 0d84902cc0f636b0
		{"app", "n", -6647925609570169854},    // a3bdd2e15c590c02
		{"", "job:42", -2516512891996950235},  // dd138cdb97d4b125
		{"a", "bc", 4664414737393237297},      // 40bb547d936bbd31
		{"ab", "c", 7783115584253305165},      // 6c032e631d39a14d
		{"é", "日本語", -2684235917490155654},    // dabfada79ca78f7a
		{"app", "'; --", 3989069328381609801}, // 375c056b4e978749
	} {
		assert.Equal(t, v.key, KeyOf(v.namespace, v.name), "%q %q", v.namespace, v.name)
	}
	assert.Equal(t, "-6647925609570169854", FormatKey(KeyOf("app", "n")))
}

// TestPairsOfAKeyAreFrozen: programs of different age share waiting, guards and permits as well. The numbers were computed with
// sha256sum of the key's eight bytes, followed by four of the slot for those.
func TestPairsOfAKeyAreFrozen(t *testing.T) {
	t.Parallel()
	for _, v := range []struct {
		key                        uint64
		companion, barrier, intent uint64
		slots                      map[int]uint64
	}{
		{0x0d84902cc0f636b0, 0x7b9bbc7c409544d9, 0x5ec4f6cfef0baccc, 0xab63f56a4d5e89fb, map[int]uint64{
			0: 0xb6f983e951dccec2, 1: 0x115efe277b291707, 63: 0x6fb1ff62839104d7, 1<<20 - 1: 0xefe6d9147a0112d8,
		}},
		{0, 0xaf5570f5a1810b7a, 0xf78caf4bc70a660f, 0x0df51e42baf91d4d, map[int]uint64{
			0: 0x15ec7bf0b50732b4, 1: 0x3423cfe2ed780f5d, 63: 0x8ed97f4777865450, 1<<20 - 1: 0x9c5d63504bc140db,
		}},
		{0xffffffffffffffff, 0x12a3ae445661ce5d, 0xee78d0650d33362d, 0xec29c4f82af05e7e, map[int]uint64{
			0: 0x65ea24b012287d12, 1: 0x5d48382e3061e1c6, 63: 0xf519979c4d7af621, 1<<20 - 1: 0x3280441b33530574,
		}},
		{0x8000000000000001, 0x52cc849fffcb8aea, 0xf2e8aff5a4a3ca37, 0x052e4f90002902f2, map[int]uint64{
			0: 0x5cae68e6237190ea, 1: 0x8080e1816677d678, 63: 0x7999e43ab65e0df4, 1<<20 - 1: 0x1f90780b45a02112,
		}},
	} {
		k := keysOf(int64(v.key))
		what := fmt.Sprintf("%016x", v.key)
		assert.Equal(t, int64(v.key), k.key, what)
		assert.Equal(t, halves(v.companion), k.companion, what)
		assert.Equal(t, halves(v.barrier), k.barrier, what)
		assert.Equal(t, halves(v.intent), k.intent, what)
		assert.Equal(t, halves(v.barrier^1), k.forReaders(), what)
		assert.Equal(t, halves(v.barrier^2), k.forPermits(), what)
		assert.Equal(t, [2]int32{halves(v.barrier).a, halves(v.barrier).b}, Barrier(int64(v.key)), what)
		for i, slot := range v.slots {
			assert.Equal(t, halves(slot), k.slot(i), "%s %d", what, i)
		}
	}
}

func TestMarkersAreFrozen(t *testing.T) {
	t.Parallel()
	assert.Equal(t, halves(0x3901498e<<32|4711), marker("", 4711))
	assert.Equal(t, halves(0xa79992ff<<32|4711), marker("app", 4711))
	assert.Equal(t, int32(-1), marker("", 0xffffffff).b)
}

func halves(v uint64) pair { return pair{int32(uint32(v >> 32)), int32(uint32(v))} }

// FuzzPairNumber: the server lists a pair as two unsigned halves, and statements take the number apart again.
func FuzzPairNumber(f *testing.F) {
	for _, v := range []uint64{0, 1, 1 << 31, 1 << 63, 0xffffffff, 0xffffffff00000000, ^uint64(0)} {
		f.Add(v)
	}
	f.Fuzz(func(t *testing.T, v uint64) {
		p := halves(v)
		require.Equal(t, int64(v), p.number())
		require.Equal(t, p, pairOf(binary.BigEndian.AppendUint64(nil, v)))
	})
}
