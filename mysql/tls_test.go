package mysql_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"database/sql"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	driver "github.com/go-sql-driver/mysql"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sqllock/toolkit/internal/testdb"
	"github.com/sqllock/toolkit/mysql"
	"github.com/sqllock/toolkit/sqllock"
)

// authority signs certificates.
type authority struct {
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
}

func newAuthority(t *testing.T) authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	a := authority{key: key, cert: &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority of a test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}}
	der, err := x509.CreateCertificate(rand.Reader, a.cert, a.cert, &key.PublicKey, key)
	require.NoError(t, err)
	a.cert, err = x509.ParseCertificate(der)
	require.NoError(t, err)
	return a
}

func (a authority) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return pool
}

// certify writes a key and a certificate for a host to a directory, and returns the server's settings for them.
func (a authority) certify(t *testing.T, dir, host string) (settings []string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	cert := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: host}, DNSNames: []string{host},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, cert, a.cert, &key.PublicKey, a.key)
	require.NoError(t, err)
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	for setting, block := range map[string]*pem.Block{
		"ssl-ca":   {Type: "CERTIFICATE", Bytes: a.cert.Raw},
		"ssl-cert": {Type: "CERTIFICATE", Bytes: der},
		"ssl-key":  {Type: "PRIVATE KEY", Bytes: secret},
	} {
		path := filepath.Join(dir, setting+".pem")
		require.NoError(t, os.WriteFile(path, pem.EncodeToMemory(block), 0o644)) // the server is another user
		settings = append(settings, setting+"="+path)
	}
	return settings
}

// encrypted is a server that lets nobody in who does not encrypt. Its certificate is for the host db.example, which is where it is reached.
func encrypted(t *testing.T) (*driver.Config, authority) {
	t.Helper()
	dir, err := os.MkdirTemp("", "sqllock-tls-") // t.TempDir is in a directory that other users may not enter
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, os.RemoveAll(dir)) })
	require.NoError(t, os.Chmod(dir, 0o755))
	ca := newAuthority(t)
	cfg := testdb.StartMySQL(t, append(ca.certify(t, dir, "db.example"), "require-secure-transport=ON")...).Config()
	addr := cfg.Addr
	cfg.Addr = "db.example:3306"
	cfg.DialFunc = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, addr)
	}
	return cfg, ca
}

func TestLocksAreKeptOverVerifiedTLS(t *testing.T) {
	t.Parallel()
	cfg, ca := encrypted(t)
	for version, number := range map[string]uint16{"TLSv1.2": tls.VersionTLS12, "TLSv1.3": tls.VersionTLS13} {
		cfg := cfg.Clone()
		cfg.TLS = &tls.Config{RootCAs: ca.pool(), ServerName: "db.example", MinVersion: number, MaxVersion: number}
		migrate(t, cfg)
		for name, open := range map[string]func(*driver.Config) backend{
			"Named":  func(cfg *driver.Config) backend { return mysql.Named(cfg, mysql.SessionTimeout(3*time.Second)) },
			"Tokens": func(cfg *driver.Config) backend { return mysql.Named(cfg, mysql.WithTokens()) },
			"Table":  backends["Table"],
		} {
			t.Run(version+name, func(t *testing.T) {
				ctx := t.Context()
				s := namedSceneAt(t, cfg)
				require.Equal(t, version, s.cipher())
				a, b := s.processOf(t, open, sqllock.Owner("a")), s.processOf(t, open, sqllock.Owner("b"))
				held := s.acquire(a, "n")
				waited := s.begins(b, "n")
				s.eventually(func() bool {
					infos, err := a.Locks(ctx)
					return err == nil && len(infos) == 2
				}, "it waits")
				if name == "Named" {
					select {
					case <-held.Done():
						t.Fatal(held.Err())
					case <-time.After(3500 * time.Millisecond): // than the session's timeout, while questions and reading ahead take turns
					}
				}
				require.NoError(t, held.Verify(ctx))
				s.release(held)
				held = s.granted(waited, 0)
				require.NoError(t, held.Verify(ctx))
				if name == "Table" {
					s.release(held)
					return
				}
				s.terminate(s.holder("n"))
				s.ends(held)
				s.release(s.acquire(a, "n"))
			})
		}
	}
}

// cipher is the protocol of a connection.
func (s *namedScene) cipher() (version string) {
	s.Helper()
	require.NoError(s, s.db.QueryRowContext(s.Context(), "SHOW SESSION STATUS LIKE 'Ssl_version'").Scan(new(string), &version))
	return version
}

func TestTLSThatCannotBeVerifiedIsRefused(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	cfg, ca := encrypted(t)
	good := &tls.Config{RootCAs: ca.pool(), ServerName: "db.example", MinVersion: tls.VersionTLS12}
	cfg.TLS = good
	migrate(t, cfg)
	for what, c := range map[string]struct {
		tls  *tls.Config
		says string
	}{
		"wrong host":        {&tls.Config{RootCAs: ca.pool(), ServerName: "another.example", MinVersion: tls.VersionTLS12}, "not another.example"},
		"unknown authority": {&tls.Config{RootCAs: newAuthority(t).pool(), ServerName: "db.example", MinVersion: tls.VersionTLS12}, "unknown authority"},
		"no TLS":            {nil, "insecure transport|Access denied"}, // which is all that MariaDB says about it
	} {
		cfg := cfg.Clone()
		cfg.TLS = c.tls
		for name, open := range backends {
			s := &namedScene{T: t, cfg: cfg}
			client := s.processOf(t, open)
			_, tryErr := client.TryAcquire(ctx, "n")
			for doing, err := range map[string]error{"Ping": client.Ping(ctx), "TryAcquire": tryErr, "WithTx": withTx(ctx, t, open(cfg))} {
				unknownHolder(t, err, what+" "+name+" "+doing)
				assert.Regexp(t, c.says, err, "%s %s %s", what, name, doing)
			}
		}
	}
}

func withTx(ctx context.Context, t *testing.T, b backend) error {
	t.Helper()
	defer func() { assert.NoError(t, b.Close(context.Background())) }()
	return b.(interface {
		WithTx(ctx context.Context, name string, fn func(*sql.Tx) error) error
	}).WithTx(ctx, "n", func(*sql.Tx) error { return nil })
}
