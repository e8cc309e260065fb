package postgres_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sqllock/toolkit/internal/testdb"
	"github.com/sqllock/toolkit/postgres"
	"github.com/sqllock/toolkit/sqllock"
)

// authority issues certificates.
type authority struct {
	*testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	file string // its own certificate
}

func newAuthority(t *testing.T, name string) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	a := &authority{T: t, cert: template, key: key, file: filepath.Join(t.TempDir(), "ca.pem")}
	require.NoError(t, os.WriteFile(a.file, a.sign(template, key), 0o600))
	return a
}

func (a *authority) sign(template *x509.Certificate, key *ecdsa.PrivateKey) []byte {
	a.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	require.NoError(a, err)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// issue makes a certificate for a host, or for a role as which its bearer logs in.
func (a *authority) issue(name string) (cert, key []byte) {
	a.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(a, err)
	der, err := x509.MarshalECPrivateKey(private)
	require.NoError(a, err)
	return a.sign(&x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}, NotBefore: a.cert.NotBefore, NotAfter: a.cert.NotAfter,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}, private), pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der})
}

// encrypted is a server at db.example, whose certificate is of ca, and which takes no connection without TLS.
type encrypted struct {
	*testing.T
	server *testdb.PostgresServer
	ca     *authority
	dir    string
}

func newEncrypted(t *testing.T, method string) *encrypted {
	t.Helper()
	e := &encrypted{t, testdb.StartPostgres(t), newAuthority(t, "the authority"), t.TempDir()}
	migrate(t, e.server.DSN())
	s := sceneAt(t, e.server.DSN())
	cert, key := e.ca.issue("db.example")
	root, err := os.ReadFile(e.ca.file)
	require.NoError(t, err)
	e.give("server.crt", cert)
	e.give("server.key", key)
	e.give("root.crt", root)
	e.give("pg_hba.conf", []byte("hostssl all all 127.0.0.1/32 "+method+"\n"))
	s.exec("ALTER SYSTEM SET ssl = on")
	s.exec("ALTER SYSTEM SET ssl_ca_file = 'root.crt'")
	s.exec("SELECT pg_reload_conf()")
	return e
}

// give puts a file into the server's directory, as one of its own.
func (e *encrypted) give(name string, content []byte) {
	e.Helper()
	path := filepath.Join(e.server.Dir(), name)
	require.NoError(e, os.WriteFile(path, content, 0o600))
	if os.Geteuid() == 0 {
		info, err := os.Stat(e.server.Dir())
		require.NoError(e, err)
		owner := info.Sys().(*syscall.Stat_t)
		require.NoError(e, os.Chown(path, int(owner.Uid), int(owner.Gid)))
	}
}

// pool connects to a host of this name, which is the server, by a network that can go silent.
func (e *encrypted) pool(host string, params map[string]string) (*pgxpool.Pool, *testdb.Silencer) {
	e.Helper()
	dsn, err := url.Parse(e.server.DSN())
	require.NoError(e, err)
	dsn.Host = host + ":" + dsn.Port()
	query := make(url.Values)
	for name, value := range params {
		query.Set(name, value)
	}
	dsn.RawQuery = query.Encode()
	cfg, err := pgxpool.ParseConfig(dsn.String())
	require.NoError(e, err)
	network := new(testdb.Silencer)
	cfg.ConnConfig.DialFunc = network.Dial
	cfg.ConnConfig.LookupFunc = func(context.Context, string) ([]string, error) { return []string{"127.0.0.1"}, nil }
	pool, err := pgxpool.NewWithConfig(e.Context(), cfg)
	require.NoError(e, err)
	e.Cleanup(pool.Close)
	return pool, network
}

func (e *encrypted) scene(pool *pgxpool.Pool) *scene {
	e.Helper()
	s := &scene{T: e.T, dsn: e.server.DSN(), pool: pool}
	s.eyes = s.client()
	return s
}

// TestTLSCarriesLocks of both backends between many goroutines and two Clients, tells of the end of a session, and of silence.
func TestTLSCarriesLocks(t *testing.T) {
	t.Parallel()
	e := newEncrypted(t, "trust")
	verify := map[string]string{"sslmode": "verify-full", "sslrootcert": e.ca.file}
	pool, _ := e.pool("db.example", verify)
	s := e.scene(pool)
	s.eventually(func() bool { return pool.Ping(t.Context()) == nil }, "the server has its certificate")
	for name, open := range backends {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx := t.Context()
			a, b := sqllock.New(open(pool)), sqllock.New(open(pool))
			for _, c := range []*sqllock.Client{a, b} {
				t.Cleanup(func() { assert.NoError(t, c.Close(context.Background())) })
			}
			var all sync.WaitGroup
			inside := 0
			for _, c := range []*sqllock.Client{a, b} {
				for range 4 {
					all.Go(func() {
						for range 10 {
							err := c.Do(ctx, "n", func(context.Context) error {
								inside++ // a race, unless the lock excludes
								return nil
							})
							assert.NoError(t, err)
						}
					})
				}
			}
			all.Wait()
			assert.Equal(t, 80, inside)
		})
	}
	t.Run("Loss", func(t *testing.T) {
		t.Parallel()
		silent, network := e.pool("db.example", verify)
		c := sqllock.New(postgres.Advisory(silent, postgres.SessionTimeout(3*time.Second)))
		t.Cleanup(func() { assert.NoError(t, c.Close(context.Background())) })
		l := s.acquire(c, "ended")
		s.terminate(s.sessionOf("ended", false))
		s.ends(l)
		lease := sqllock.New(postgres.Table(silent), sqllock.TTL(3*time.Second))
		t.Cleanup(func() { assert.NoError(t, lease.Close(context.Background())) })
		for _, c := range []*sqllock.Client{c, lease} {
			l := s.acquire(c, "silent")
			require.NoError(t, network.Silence())
			s.ends(l)
			require.ErrorIs(t, l.Err(), sqllock.ErrLost)
			require.NoError(t, network.Restore())
			require.NoError(t, again(t, func() error {
				l, err := c.Acquire(t.Context(), "silent", sqllock.Wait(sceneSlack))
				if err == nil {
					s.release(l)
				}
				return err
			}))
		}
	})
}

// TestTLSRefusals are errors that say what is wrong with the other side, and never that somebody holds the lock.
func TestTLSRefusals(t *testing.T) {
	t.Parallel()
	e := newEncrypted(t, "trust")
	stranger := newAuthority(t, "a stranger")
	good, _ := e.pool("db.example", map[string]string{"sslmode": "verify-full", "sslrootcert": e.ca.file})
	e.scene(good).eventually(func() bool { return good.Ping(t.Context()) == nil }, "the server has its certificate")
	for _, c := range []struct {
		host   string
		params map[string]string
		says   string
	}{
		{"other.example", map[string]string{"sslmode": "verify-full", "sslrootcert": e.ca.file}, "valid for db.example, not other.example"},
		{"db.example", map[string]string{"sslmode": "verify-full", "sslrootcert": stranger.file}, "certificate signed by unknown authority"},
		{"db.example", map[string]string{"sslmode": "disable"}, "no pg_hba.conf entry"},
	} {
		pool, _ := e.pool(c.host, c.params)
		refusesWith(t, pool, c.says)
	}
}

// refusesWith has both backends ask through a pool.
func refusesWith(t *testing.T, pool *pgxpool.Pool, says string) {
	t.Helper()
	for name, open := range backends {
		locks := sqllock.New(open(pool))
		_, tryErr := locks.TryAcquire(t.Context(), "n")
		_, err := locks.Acquire(t.Context(), "n", sqllock.Wait(time.Minute))
		for what, err := range map[string]error{"Ping": locks.Ping(t.Context()), "TryAcquire": tryErr, "Acquire": err} {
			unknown(t, err, name+" "+what)
			assert.ErrorContains(t, err, says, "%s %s", name, what)
		}
		require.NoError(t, locks.Close(t.Context()))
	}
}

// TestTLSClientCertificatesLogIn who has one, and nobody else.
func TestTLSClientCertificatesLogIn(t *testing.T) {
	t.Parallel()
	e := newEncrypted(t, "cert")
	cert, key := e.ca.issue("postgres") // the role's name
	files := map[string]string{"sslcert": filepath.Join(e.dir, "cert.pem"), "sslkey": filepath.Join(e.dir, "key.pem")}
	require.NoError(t, os.WriteFile(files["sslcert"], cert, 0o600))
	require.NoError(t, os.WriteFile(files["sslkey"], key, 0o600))
	params := map[string]string{"sslmode": "verify-full", "sslrootcert": e.ca.file}
	bare, _ := e.pool("db.example", params)
	files["sslmode"], files["sslrootcert"] = params["sslmode"], params["sslrootcert"]
	pool, _ := e.pool("db.example", files)
	s := e.scene(pool)
	s.eventually(func() bool { return pool.Ping(t.Context()) == nil }, "the server has its certificate")
	for _, open := range backends {
		c := sqllock.New(open(pool))
		t.Cleanup(func() { assert.NoError(t, c.Close(context.Background())) })
		s.release(s.acquire(c, "n"))
	}
	refusesWith(t, bare, "certificate")
}
