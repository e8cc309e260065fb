package advisory

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"

	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// arguments are what the encoder has gathered for one statement.
func arguments(e *encoder) (all [][]byte) {
	start := 0
	for _, end := range e.ends {
		all = append(all, e.args[start:end])
		start = end
	}
	return all
}

// scan reads one argument as pgx reads what a server sends, which has the same form.
func scan(t *testing.T, oid uint32, argument []byte, to any) {
	t.Helper()
	require.NoError(t, pgtype.NewMap().Scan(oid, pgtype.BinaryFormatCode, argument, to))
}

// FuzzArraysAreWhatPgxReads gives pgtype, an implementation that is not ours, everything that the encoder writes.
func FuzzArraysAreWhatPgxReads(f *testing.F) {
	f.Add([]byte(nil))
	f.Add([]byte{1, 2, 3, 4, 5, 6, 7, 8})
	f.Add(bytes.Repeat([]byte{0xff, 0, 0x80, 0x7f}, 100))
	f.Fuzz(func(t *testing.T, data []byte) {
		n := len(data) / 8
		number := func(i int) int64 { return int64(binary.BigEndian.Uint64(data[8*i:])) }
		at := func(i int) (pair, bool) { return halves(uint64(number(i))), number(i)%3 != 0 }
		e := new(encoder)
		e.int8(int64(len(data)))
		e.int8s(n, number)
		e.pairs(n, at)
		e.bools(n, func(i int) bool { return number(i)%2 == 0 })
		e.chars(n, func(i int) byte { return "xspq"[number(i)&3] })
		e.bool(n == 0)
		e.text(string(data))
		all := arguments(e)
		require.Len(t, all, 8)

		var length int64
		scan(t, pgtype.Int8OID, all[0], &length)
		require.Equal(t, int64(len(data)), length)
		var numbers []int64
		scan(t, pgtype.Int8ArrayOID, all[1], &numbers)
		var as, bs []*int32
		scan(t, pgtype.Int4ArrayOID, all[2], &as)
		scan(t, pgtype.Int4ArrayOID, all[3], &bs)
		var truths []bool
		scan(t, pgtype.BoolArrayOID, all[4], &truths)
		var letters pgtype.FlatArray[byte]
		scan(t, pgtype.QCharArrayOID, all[5], &letters)
		var none bool
		scan(t, pgtype.BoolOID, all[6], &none)
		require.Equal(t, n == 0, none)
		require.Equal(t, string(data), string(all[7]))
		require.Len(t, numbers, n)
		require.Len(t, as, n)
		require.Len(t, bs, n)
		require.Len(t, truths, n)
		require.Len(t, letters, n)
		for i := range n {
			require.Equal(t, number(i), numbers[i])
			require.Equal(t, number(i)%2 == 0, truths[i])
			require.Equal(t, "xspq"[number(i)&3], letters[i])
			if p, ok := at(i); ok {
				require.Equal(t, p, pair{*as[i], *bs[i]})
			} else {
				require.Nil(t, as[i])
				require.Nil(t, bs[i])
			}
		}
	})
}

// TestStatementsAreEncodedAsPgxDecodesThem reads a batch of several messages back, and the next one, for which nothing may be left over.
func TestStatementsAreEncodedAsPgxDecodesThem(t *testing.T) {
	t.Parallel()
	e := new(encoder)
	for range 2 {
		e.buf = e.buf[:0]
		e.int8(-1)
		e.pair(pair{2, -3})
		e.execute("lock")
		e.text("text")
		e.execute("unlock")
		e.sync()
		backend := pgproto3.NewBackend(bytes.NewReader(e.buf), nil)
		for _, want := range []struct {
			statement  string
			parameters [][]byte
		}{
			{"sqllock_lock", [][]byte{{255, 255, 255, 255, 255, 255, 255, 255}, {0, 0, 0, 2}, {255, 255, 255, 253}}},
			{"sqllock_unlock", [][]byte{[]byte("text")}},
		} {
			m, err := backend.Receive()
			require.NoError(t, err)
			bind, ok := m.(*pgproto3.Bind)
			require.True(t, ok)
			assert.Equal(t, want.statement, bind.PreparedStatement)
			assert.Equal(t, want.parameters, bind.Parameters)
			assert.Equal(t, []int16{pgproto3.BinaryFormat}, bind.ParameterFormatCodes)
			assert.Equal(t, []int16{pgproto3.BinaryFormat}, bind.ResultFormatCodes)
			m, err = backend.Receive()
			require.NoError(t, err)
			require.IsType(t, (*pgproto3.Execute)(nil), m)
		}
		m, err := backend.Receive()
		require.NoError(t, err)
		require.IsType(t, (*pgproto3.Sync)(nil), m)
		_, err = backend.Receive()
		require.Error(t, err, "that was all")
	}
}

// FuzzColumns: what the server answers is read without panic, whatever its length.
func FuzzColumns(f *testing.F) {
	for _, column := range [][]byte{nil, {}, {1}, {0, 0, 0, 1}, {255, 255, 255, 255}, {1, 2, 3, 4, 5, 6, 7, 8}, {1, 2, 3, 4, 5, 6, 7, 8, 9}} {
		f.Add(column)
	}
	f.Fuzz(func(t *testing.T, column []byte) {
		v, null := integer(column)
		switch len(column) {
		case 4, 8:
			require.False(t, null)
			var want int64
			oid := uint32(pgtype.Int8OID)
			if len(column) == 4 {
				oid = pgtype.Int4OID
			}
			scan(t, oid, column, &want)
			require.Equal(t, want, v)
		default:
			require.True(t, null)
			require.Zero(t, v)
		}
		require.Equal(t, len(column) == 1 && column[0] == 1, truth(column))
	})
}

// TestStrayRowsAreErrors and not panics: behind some pooler, an answer may be to somebody else's question.
func TestStrayRowsAreErrors(t *testing.T) {
	t.Parallel()
	var nobody *batch
	require.Error(t, nobody.row([][]byte{{1}}))
	require.Error(t, nobody.complete())

	b := new(batch)
	require.Error(t, b.row([][]byte{{1}}))
	require.Error(t, b.complete())
	b.fail(errors.New("a failure"))
	require.NoError(t, b.failed)
	require.True(t, b.synced())

	o := newOp(notify, nil)
	b = new(batch)
	b.add(asking, "notify", o)
	require.Error(t, b.complete(), "not before its row")
	require.Error(t, b.row(nil))
	require.NoError(t, b.row([][]byte{{1}}))
	require.Error(t, b.row([][]byte{{1}}), "a row too many")
	require.NoError(t, b.complete())
	require.Error(t, b.row([][]byte{{1}}))
	require.True(t, b.synced())
	require.True(t, o.answered)
}
