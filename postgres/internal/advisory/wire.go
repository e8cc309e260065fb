package advisory

import (
	"encoding/binary"

	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/jackc/pgx/v5/pgtype"
)

// prepared are the statements of a session and the types of their parameters.
var prepared = map[string][]uint32{
	"lock":        {pgtype.Int8OID, pgtype.Int4OID, pgtype.Int4OID},
	"lock_many":   {pgtype.Int8ArrayOID, pgtype.Int4ArrayOID, pgtype.Int4ArrayOID},
	"unlock_many": {pgtype.Int8ArrayOID, pgtype.Int4ArrayOID, pgtype.Int4ArrayOID},
	"share":       {pgtype.BoolArrayOID, pgtype.Int8ArrayOID, pgtype.Int4ArrayOID, pgtype.Int4ArrayOID, pgtype.Int4ArrayOID, pgtype.Int4ArrayOID, pgtype.BoolArrayOID},
	"permit":      {pgtype.Int8OID, pgtype.Int4OID, pgtype.Int4OID, pgtype.Int4OID, pgtype.Int4OID, pgtype.BoolOID, pgtype.BoolOID, pgtype.Int4ArrayOID, pgtype.Int4ArrayOID, pgtype.Int4ArrayOID, pgtype.Int4ArrayOID},
	"unlock":      {pgtype.Int8OID, pgtype.Int4OID, pgtype.Int4OID},
	"unshare":     {pgtype.QCharArrayOID, pgtype.Int8ArrayOID, pgtype.Int4ArrayOID, pgtype.Int4ArrayOID, pgtype.Int4ArrayOID, pgtype.Int4ArrayOID, pgtype.Int4ArrayOID, pgtype.Int4ArrayOID},
	"enlist":      {pgtype.Int4ArrayOID, pgtype.Int4ArrayOID, pgtype.Int4ArrayOID, pgtype.Int4ArrayOID},
	"delist":      {pgtype.Int8ArrayOID, pgtype.Int4ArrayOID, pgtype.Int4ArrayOID, pgtype.Int4ArrayOID, pgtype.Int4ArrayOID},
	"unguarded":   {pgtype.Int4OID, pgtype.Int4OID},
	"notify":      {pgtype.TextOID},
	"holders":     {pgtype.Int8OID, pgtype.Int8OID},
	"mark":        {pgtype.Int4OID, pgtype.Int4OID},
	"mine":        {},
	"drop":        {pgtype.BoolArrayOID, pgtype.Int8ArrayOID, pgtype.BoolArrayOID},
	"who":         {},
}

// prefix keeps the names of our statements apart from those that the application prepares when it connects.
const prefix = "sqllock_"

// prefixed are the names with it, made once.
var prefixed = func() map[string]string {
	names := make(map[string]string, len(prepared))
	for name := range prepared {
		names[name] = prefix + name
	}
	return names
}()

// encoder writes messages of the extended protocol. Parameters and results are binary.
type encoder struct {
	buf  []byte // what is to be sent
	args []byte // the parameters of one statement
	ends []int  // where each ends
	bind pgproto3.Bind
}

var binaryFormat = []int16{pgproto3.BinaryFormat}

// execute sends a prepared statement with the parameters that were added before.
func (e *encoder) execute(name string) {
	e.bind.Parameters = e.bind.Parameters[:0]
	start := 0
	for _, end := range e.ends {
		e.bind.Parameters = append(e.bind.Parameters, e.args[start:end:end])
		start = end
	}
	e.bind.PreparedStatement = prefixed[name]
	e.bind.ParameterFormatCodes, e.bind.ResultFormatCodes = binaryFormat, binaryFormat
	// Encoding fails for messages of more than a gigabyte only.
	e.buf, _ = e.bind.Encode(e.buf)
	e.buf, _ = (&pgproto3.Execute{}).Encode(e.buf)
	e.args, e.ends = e.args[:0], e.ends[:0]
}

// sync ends a transaction.
func (e *encoder) sync() { e.buf, _ = (&pgproto3.Sync{}).Encode(e.buf) }

func (e *encoder) end() { e.ends = append(e.ends, len(e.args)) }

func (e *encoder) int8(v int64) {
	e.args = binary.BigEndian.AppendUint64(e.args, uint64(v))
	e.end()
}

func (e *encoder) int4(v int32) {
	e.args = binary.BigEndian.AppendUint32(e.args, uint32(v))
	e.end()
}

func (e *encoder) pair(p pair) {
	e.int4(p.a)
	e.int4(p.b)
}

func (e *encoder) bool(v bool) {
	e.args = append(e.args, bit(v))
	e.end()
}

func (e *encoder) text(v string) {
	e.args = append(e.args, v...)
	e.end()
}

// array adds an array of n elements of at most size bytes; element appends one, or reports that it is null.
func (e *encoder) array(oid uint32, n, size int, element func(b []byte, i int) (_ []byte, null bool)) {
	b := e.args
	dimensions := uint32(1)
	if n == 0 {
		dimensions = 0
	}
	b = binary.BigEndian.AppendUint32(b, dimensions)
	b = binary.BigEndian.AppendUint32(b, 1) // there may be nulls
	b = binary.BigEndian.AppendUint32(b, oid)
	if n > 0 {
		b = binary.BigEndian.AppendUint32(b, uint32(n))
		b = binary.BigEndian.AppendUint32(b, 1)
	}
	for i := range n {
		at := len(b)
		b = binary.BigEndian.AppendUint32(b, uint32(size))
		grown, null := element(b, i)
		if b = grown; null {
			b = binary.BigEndian.AppendUint32(b[:at], ^uint32(0))
		}
	}
	e.args = b
	e.end()
}

func (e *encoder) int8s(n int, value func(i int) int64) {
	e.array(pgtype.Int8OID, n, 8, func(b []byte, i int) ([]byte, bool) {
		return binary.BigEndian.AppendUint64(b, uint64(value(i))), false
	})
}

func (e *encoder) int4s(n int, value func(i int) (_ int32, ok bool)) {
	e.array(pgtype.Int4OID, n, 4, func(b []byte, i int) ([]byte, bool) {
		v, ok := value(i)
		return binary.BigEndian.AppendUint32(b, uint32(v)), !ok
	})
}

// pairs adds two arrays.
func (e *encoder) pairs(n int, value func(i int) (_ pair, ok bool)) {
	e.int4s(n, func(i int) (int32, bool) { p, ok := value(i); return p.a, ok })
	e.int4s(n, func(i int) (int32, bool) { p, ok := value(i); return p.b, ok })
}

func (e *encoder) chars(n int, value func(i int) byte) {
	e.array(pgtype.QCharOID, n, 1, func(b []byte, i int) ([]byte, bool) { return append(b, value(i)), false })
}

func (e *encoder) bools(n int, value func(i int) bool) {
	e.array(pgtype.BoolOID, n, 1, func(b []byte, i int) ([]byte, bool) { return append(b, bit(value(i))), false })
}

func bit(v bool) byte {
	if v {
		return 1
	}
	return 0
}

// integer reads a column of type bigint or integer.
func integer(column []byte) (v int64, null bool) {
	switch len(column) {
	case 8:
		return int64(binary.BigEndian.Uint64(column)), false
	case 4:
		return int64(int32(binary.BigEndian.Uint32(column))), false
	}
	return 0, true
}

// truth reads a column of type boolean.
func truth(column []byte) bool { return len(column) == 1 && column[0] == 1 }
