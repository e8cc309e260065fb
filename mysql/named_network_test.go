package mysql_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	driver "github.com/go-sql-driver/mysql"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sqllock/toolkit/internal/testdb"
	"github.com/sqllock/toolkit/mysql"
	"github.com/sqllock/toolkit/sqllock"
)

// TestNamedDialsAsTheApplicationDoes but for networks that the driver keeps to itself.
func TestNamedDialsAsTheApplicationDoes(t *testing.T) {
	t.Parallel()
	s := newNamedScene(t)
	var dialled atomic.Int64
	dial := func(ctx context.Context, _, addr string) (net.Conn, error) {
		dialled.Add(1)
		return new(net.Dialer).DialContext(ctx, "tcp", addr)
	}
	const network = "sqllock-test-network"
	driver.RegisterDialContext(network, func(ctx context.Context, addr string) (net.Conn, error) { return dial(ctx, network, addr) })
	t.Cleanup(func() { driver.DeregisterDialContext(network) })

	registered := s.clientOf(s.configured(func(c *driver.Config) { c.Net = network }))
	_, err := registered.TryAcquire(t.Context(), "n")
	for _, err := range []error{err, registered.Ping(t.Context())} {
		require.ErrorIs(t, err, sqllock.ErrInvalid)
		require.ErrorContains(t, err, "DialFunc")
	}
	require.Zero(t, dialled.Load())

	c := s.clientOf(s.configured(func(c *driver.Config) { c.Net, c.DialFunc = network, dial }, mysql.SessionTimeout(time.Hour)))
	l := s.acquire(c, "n")
	require.Positive(t, dialled.Load())
	s.terminate(s.holder("n"))
	s.ends(l)
}

// TestNamedSpeaksTLS and is told of the end of a session below it.
func TestNamedSpeaksTLS(t *testing.T) {
	t.Parallel()
	cert, key := selfSigned(t)
	cfg := testdb.StartMySQL(t, "ssl-cert="+cert, "ssl-key="+key, "ssl-ca="+cert, "require-secure-transport=ON").Config()
	cfg.TLSConfig = "skip-verify"
	s := namedSceneAt(t, cfg)
	migrate(t, cfg)
	unencrypted := cfg.Clone()
	unencrypted.TLSConfig = "false"
	require.Error(t, sqllock.New(mysql.Named(unencrypted)).Ping(t.Context()))
	c := s.client(mysql.SessionTimeout(time.Hour), mysql.WithTokens())
	carried, inherited := s.carriedAndInherited(c)
	for _, l := range []*sqllock.Lock{inherited, carried} {
		require.NoError(t, l.Verify(t.Context()))
		s.terminate(s.holder(l.Name()))
		s.ends(l)
		assert.ErrorIs(t, l.Err(), sqllock.ErrLost)
	}
	s.release(s.acquire(c, "carried"))
}

// selfSigned makes a certificate and its key in files that the server may read.
func selfSigned(t *testing.T) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, &private.PublicKey, private)
	require.NoError(t, err)
	privateDER, err := x509.MarshalPKCS8PrivateKey(private)
	require.NoError(t, err)
	dir := t.TempDir()
	require.NoError(t, os.Chmod(filepath.Dir(dir), 0o755))
	write := func(name, kind string, der []byte) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o644))
		return path
	}
	return write("cert.pem", "CERTIFICATE", der), write("key.pem", "PRIVATE KEY", privateDER)
}
