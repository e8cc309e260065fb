package advisory

import (
	"context"
	"io"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/stretchr/testify/require"
)

// script is a server that says the same whatever it is asked: with each message that it gets, the next of its answers. When it has no more to say
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
	if len(s.answers) > 0 {
		s.said, s.answers = append(s.said, s.answers[0]...), s.answers[1:]
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

func (s *script) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (s *script) Close() error                     { return nil }
func (s *script) SetDeadline(time.Time) error      { return nil }
func (s *script) SetReadDeadline(time.Time) error  { return nil }
func (s *script) SetWriteDeadline(time.Time) error { return nil }

// FuzzConnect: whatever a server answers to the first questions, there is a session only if it has said in the end that it is the one whose
// locks were taken.
func FuzzConnect(f *testing.F) {
	text := func(columns ...string) []byte {
		m := &pgproto3.DataRow{}
		d := &pgproto3.RowDescription{}
		for _, c := range columns {
			m.Values = append(m.Values, []byte(c))
			d.Fields = append(d.Fields, pgproto3.FieldDescription{Name: []byte("c"), DataTypeOID: 25, DataTypeSize: -1, TypeModifier: -1})
		}
		return says(&pgproto3.ParseComplete{}, &pgproto3.BindComplete{}, d, m, done)
	}
	end := says(idle)
	complete := func(columns ...string) []byte { return slices.Concat(text("0"), text(columns...), end) }
	simple := func(column string) []byte { return append(text(column)[10:], end...) } // without ParseComplete and BindComplete
	hello, settings := complete("4711", "PostgreSQL 15", "f", "0"), complete("15s")
	var prepares []byte
	for range prepared {
		prepares = append(prepares, says(&pgproto3.ParseComplete{}, &pgproto3.ParameterDescription{}, &pgproto3.NoData{})...)
	}
	prepares = append(prepares, end...)
	f.Add(hello, settings, prepares, simple("t"))
	f.Add(hello, settings, prepares, simple("f"))
	f.Add(hello, settings, prepares, end)
	f.Add(hello, settings, prepares, append(simple("t")[:len(simple("t"))-len(end)], 'Z', 0, 0, 0, 5, 'T'))
	f.Add(complete("4711", "PostgreSQL 15", "f", "77"), settings, simple("t"), append(slices.Clone(prepares), simple("t")...))
	f.Add(complete("4712", "PostgreSQL 15", "f", "0"), complete("4712"), end, end)
	f.Add(complete("4711", "PostgreSQL 15", "t", "0"), settings, prepares, simple("t"))
	f.Add(complete("4711"), settings, prepares, simple("t"))
	f.Add(end, end, end, end)
	f.Add(says(&pgproto3.ErrorResponse{SeverityUnlocalized: "ERROR", Code: queryCanceled}, idle), hello, settings, prepares)
	f.Fuzz(func(t *testing.T, first, second, third, fourth []byte) {
		answers := [][]byte{first, second, third, fourth}
		if slices.ContainsFunc(answers, immense) || immense(slices.Concat(answers...)) {
			t.Skip()
		}
		greeting := says(&pgproto3.AuthenticationOk{}, &pgproto3.BackendKeyData{ProcessID: 4711, SecretKey: []byte{1, 2, 3, 4}}, idle)
		cfg, err := pgx.ParseConfig("postgres://me@nowhere.invalid/db?sslmode=disable")
		require.NoError(t, err)
		cfg.LookupFunc = func(context.Context, string) ([]string, error) { return []string{"192.0.2.1"}, nil }
		cfg.DialFunc = func(context.Context, string, string) (net.Conn, error) {
			return &script{answers: append([][]byte{greeting}, answers...)}, nil
		}
		c := Connector{Timeout: time.Minute}
		var connected []*pgx.Conn
		c.Dial = func(ctx context.Context) (*pgx.Conn, error) {
			pg, err := pgx.ConnectConfig(ctx, cfg)
			if err == nil {
				connected = append(connected, pg)
			}
			return pg, err
		}
		l, err := c.open(t.Context(), stillClock{})
		if err == nil {
			require.Contains(t, string(slices.Concat(answers...)), "\x00\x00\x00\x01t", "it was said that the locks were taken")
			require.Equal(t, marker("", l.pid), l.marker)
		}
		for _, pg := range connected {
			_ = pg.Close(t.Context())
			if err != nil {
				<-pg.PgConn().CleanupDone()
			}
		}
	})
}
