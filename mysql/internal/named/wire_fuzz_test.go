package named

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/stretchr/testify/require"

	"github.com/sqllock/toolkit/sqllock"
)

// script is a server that says the same whatever it is asked: with each question that it gets, the next of its answers. When it has no more to say
// the connection ends.
type script struct {
	net.Conn
	mu      sync.Mutex
	answers [][]byte
	said    []byte
}

func (s *script) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.said = nil
	if len(s.answers) > 0 {
		s.said, s.answers = s.answers[0], s.answers[1:]
	}
	return len(p), nil
}

func (s *script) Read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.said) == 0 {
		return 0, io.EOF
	}
	n := copy(p, s.said)
	s.said = s.said[n:]
	return n, nil
}

func (s *script) Close() error                     { return nil }
func (s *script) SetDeadline(time.Time) error      { return nil }
func (s *script) SetReadDeadline(time.Time) error  { return nil }
func (s *script) SetWriteDeadline(time.Time) error { return nil }

// packets are messages as they are on the wire, the first one numbered first.
func packets(first byte, payloads ...[]byte) (all []byte) {
	for i, p := range payloads {
		all = append(all, byte(len(p)), byte(len(p)>>8), byte(len(p)>>16), first+byte(i))
		all = append(all, p...)
	}
	return all
}

// The messages of the protocol that an answer needs (https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_basics.html).
var (
	okPacket  = []byte{0, 0, 0, 2, 0, 0, 0}
	eofPacket = []byte{0xfe, 0, 0, 2, 0}
	greeting  = slices.Concat([]byte("\x0a8.0.0-test\x00\x01\x00\x00\x00saltsalt\x00\x00\x82\x2d\x02\x00\x08\x00\x15"), make([]byte, 10), []byte("saltsaltsalt\x00mysql_native_password\x00"))
)

// text is a string as rows have it.
func text(s []byte) []byte {
	if len(s) < 251 {
		return append([]byte{byte(len(s))}, s...)
	}
	return append([]byte{0xfc, byte(len(s)), byte(len(s) >> 8)}, s...)
}

// column describes one of a type.
func column(kind byte) []byte {
	return slices.Concat([]byte("\x03def\x00\x00\x00\x01c\x00\x0c\x2d\x00"), []byte{255, 0, 0, 0, kind, 0, 0, 0, 0, 0})
}

// answer is one with rows.
func answer(kind byte, columns int, rows ...[]byte) []byte {
	all := [][]byte{{byte(columns)}}
	for range columns {
		all = append(all, column(kind))
	}
	return packets(1, append(append(append(all, eofPacket), rows...), eofPacket)...)
}

const (
	typeLongLong  = 8
	typeVarString = 253
)

// converse has a link to a server that answers this way.
func converse(t *testing.T, answers ...[]byte) *link {
	t.Helper()
	server := &script{said: packets(0, greeting), answers: append([][]byte{packets(2, okPacket)}, answers...)}
	cfg := mysql.NewConfig()
	cfg.DialFunc = func(context.Context, string, string) (net.Conn, error) { return server, nil }
	c, err := NewConnector(cfg, "owner", time.Minute)
	require.NoError(t, err)
	connector, err := mysql.NewConnector(c.config)
	require.NoError(t, err)
	var w *wire
	conn, err := connector.Connect(context.WithValue(t.Context(), wireKey{}, &w))
	require.NoError(t, err)
	l := &link{conn: conn, wire: w, clock: sqllock.SystemClock, limit: time.Minute}
	t.Cleanup(func() { _ = conn.Close() })
	return l
}

// asked has the link ask for n keys.
func asked(l *link, n int) (b *batch, err error) {
	b = &batch{link: l}
	for range n {
		b.ops = append(b.ops, &op{kind: attempt, key: "key"})
	}
	defer recoverDriver(&err)
	return b, b.ask()
}

// recoverDriver makes an error of a panic of the driver itself, which a row that is shorter than its columns is enough for. Ours go on.
func recoverDriver(err *error) {
	r := recover()
	if r == nil {
		return
	}
	_, stack, _ := strings.Cut(string(debug.Stack()), "\npanic(")
	driver, ours := strings.Index(stack, "/go-sql-driver/mysql."), strings.Index(stack, "/internal/named.")
	if driver < 0 || driver > ours {
		panic(r)
	}
	*err = fmt.Errorf("the driver: %v", r)
}

// immense tells of an answer for whose columns the driver would make room before it has seen them, if there is any left.
func immense(answer []byte) bool { return len(answer) > 4 && answer[4] >= 0xfc && answer[4] != 0xff }

func (b *batch) granted() (n int) {
	for _, o := range b.ops {
		if o.code == '1' {
			n++
		}
	}
	return n
}

// FuzzAnswer: an answer that is whole says what it says, and one that was cut off anywhere grants nothing.
func FuzzAnswer(f *testing.F) {
	for _, value := range []string{"1", "0", "n", "", "11", "10n", "1n1", "01", "+1", "1.0", "true", "1\x00", strings.Repeat("1", 300)} {
		for _, kind := range []byte{typeVarString, typeLongLong, 5, 7, 10, 6} {
			f.Add([]byte(value), kind, uint8(len(value)), uint16(9))
			f.Add([]byte(value), kind, uint8(1), uint16(60))
		}
	}
	f.Fuzz(func(t *testing.T, value []byte, kind byte, questions uint8, cut uint16) {
		if len(value) > 1<<15 {
			t.Skip()
		}
		n := 1 + int(questions)%8
		whole := answer(kind, 1, text(value))

		b, err := asked(converse(t, whole), n)
		granted := b.granted()
		if err != nil {
			require.Zero(t, granted)
		}
		number, numeric := strconv.ParseInt(string(value), 10, 64)
		switch {
		case n > 1 && len(value) == n && len(bytes.Trim(value, "01n")) == 0 && kind == typeVarString:
			require.NoError(t, err)
			require.Equal(t, bytes.Count(value, []byte("1")), granted)
		case granted == 0:
		case n == 1:
			require.True(t, string(value) == "1" || numeric == nil && number == 1, "%q", value)
		default:
			require.NoError(t, err)
			require.LessOrEqual(t, granted, bytes.Count(value, []byte("1")))
		}

		b, err = asked(converse(t, whole[:int(cut)%len(whole)]), n)
		require.Error(t, err)
		require.Zero(t, b.granted())
	})
}

func greeted(l *link) (err error) {
	defer recoverDriver(&err)
	return Connector{timeout: time.Minute}.hello(l)
}

func listed(l *link) (_ map[string]string, err error) {
	defer recoverDriver(&err)
	return l.list(Variables)
}

// FuzzServer: whatever a server says, nothing is granted that it did not say.
func FuzzServer(f *testing.F) {
	variables := answer(typeVarString, 2, append(text([]byte("wsrep_on")), text([]byte("OFF"))...))
	several := answer(typeVarString, 2, append(text([]byte("group_replication_single_primary_mode")), text([]byte("OFF"))...))
	one, null := answer(typeLongLong, 1, text([]byte("1"))), answer(typeLongLong, 1, []byte{0xfb})
	ok := packets(1, okPacket)
	refused := packets(1, []byte("\xff\xea\x0b#HY000refused"))
	late := packets(1, []byte{1}, column(typeLongLong), eofPacket, text([]byte("1")), []byte("\xff\xea\x0b#HY000refused"))
	f.Add(variables, ok, one, one, one)
	f.Add(several, one, ok, one, one)
	f.Add(variables, ok, null, ok, one)
	f.Add(one, ok, one, variables, refused)
	f.Add(null, one, variables, null, late)
	f.Add(refused, refused, refused, refused, refused)
	f.Add(variables, ok, one, one, packets(2, []byte{1}))
	f.Add(variables, ok, one, one, packets(1, []byte{1}, column(typeVarString), eofPacket, []byte{0xfd, 0xff, 0xff, 0xff, '1'}))
	f.Add(variables, ok, one, one, answer(typeLongLong, 1, nil))
	f.Add(variables, ok, one, one, []byte{0xff, 0xff, 0xff, 1, 1})
	f.Fuzz(func(t *testing.T, first, second, third, fourth, last []byte) {
		if slices.ContainsFunc([][]byte{first, second, third, fourth, last}, immense) {
			t.Skip()
		}
		l := converse(t, first, second, third, fourth)
		if err := greeted(l); err == nil {
			require.NotEmpty(t, l.marker)
			require.Contains(t, string(slices.Concat(first, second, third, fourth)), strconv.FormatUint(l.id, 10), "the number that the server has said")
		}

		b, err := asked(converse(t, last), 1)
		if err != nil {
			require.Zero(t, b.granted())
		}
		if b.granted() > 0 {
			require.Contains(t, string(last), "1")
			require.Contains(t, string(last), "\xfe", "and that this was all")
		}
		b, err = asked(converse(t, last), 3)
		if err != nil {
			require.Zero(t, b.granted())
		}
		require.LessOrEqual(t, b.granted(), bytes.Count(last, []byte("1")))

		if variables, err := listed(converse(t, last)); err == nil {
			for name, value := range variables {
				require.Contains(t, string(last), name)
				require.Contains(t, string(last), value)
			}
		}
	})
}

// FuzzWire: reading ahead, whenever it happens, changes nothing of what the driver reads.
func FuzzWire(f *testing.F) {
	f.Add([]byte("what the server says"), []byte{0, 1, 0, 2, 3, 0, 0, 255, 0})
	f.Add([]byte{}, []byte{0, 1, 1, 0, 1})
	f.Add([]byte("x"), []byte{128, 0, 128, 1, 0, 1})
	f.Fuzz(func(t *testing.T, said, plan []byte) {
		w := &wire{Conn: &script{said: bytes.Clone(said)}}
		var watches sync.WaitGroup
		var read []byte
		var ahead *readahead
		for _, step := range plan {
			if step == 0 && ahead == nil {
				watches.Add(1)
				w.watch(func(*readahead) { watches.Done() })
				ahead = w.ahead.Load()
				require.True(t, w.unasked(ahead))
				continue
			}
			room := make([]byte, step%128)
			n, err := w.Read(room)
			read = append(read, room[:n]...)
			if ahead != nil && (len(room) > 0 || err != nil) {
				require.False(t, w.unasked(ahead))
				ahead = nil
			}
			if err != nil {
				require.ErrorIs(t, err, io.EOF)
				require.Equal(t, string(said), string(read), "the end is the end")
			}
		}
		watches.Wait()
		rest, err := io.ReadAll(w)
		require.NoError(t, err)
		require.Equal(t, string(said), string(append(read, rest...)))
	})
}
