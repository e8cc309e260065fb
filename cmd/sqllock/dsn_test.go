//go:build unix

package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sqllock/toolkit/internal/testdb"
)

// unreachable is a port at which nobody listens.
func unreachable(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, listener.Close())
	return listener.Addr().String()
}

func TestPathOfSQLiteIsTakenAsItIs(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"plain.db", "sp ace", "q?mode=memory", "h#ash", "p%41ercent", "a:b", "é&=+"} {
		dir := t.TempDir()
		file := filepath.Join(dir, name)
		run := func(dsn string, args ...string) outcome {
			p := program(t, args...).with(dsnVariable + "=" + dsn)
			p.Dir = dir
			o := p.run()
			o.requireSilent(t, 0)
			require.FileExists(t, file, dsn)
			return o
		}
		run("sqlite:"+name, "migrate", "up")
		require.NoError(t, os.Remove(file))
		for _, dsn := range []string{"sqlite:" + name, "sqlite:" + file, "sqlite://" + file, "sqlite:///" + file} {
			run(dsn, "exec", "name", "--", "true")
		}
		o := run("sqlite://"+file, "migrate", "status")
		require.Equal(t, "version 1, up to date\n", o.stdout)

		files, err := os.ReadDir(dir)
		require.NoError(t, err)
		require.Len(t, files, 1, "one database under one name")
	}
}

func TestDSNComesFromOnePlaceAndNeverSilentlyFromNone(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, text string) string {
		file := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
		return file
	}
	flag, file, env := filepath.Join(dir, "flag"), filepath.Join(dir, "file"), filepath.Join(dir, "env")
	good := write("good.dsn", "\nsqlite:"+file+"\n")
	run := func(env string, args ...string) outcome {
		p := program(t, append(append([]string{"exec"}, args...), "name", "--", "true")...)
		if env != "unset" {
			p.with(dsnVariable + "=" + env)
		}
		return p.run()
	}
	run("sqlite:"+env, "--dsn", "sqlite:"+flag).requireSilent(t, 0)
	require.FileExists(t, flag)
	require.NoFileExists(t, env)
	run("sqlite:"+env, "--dsn-file", good).requireSilent(t, 0)
	require.FileExists(t, file)
	require.NoFileExists(t, env)
	run("sqlite:"+env).requireSilent(t, 0)
	require.FileExists(t, env)

	run("unset", "--dsn", "sqlite:"+flag, "--dsn-file", good).requireError(t, exitUsage, "exclude each other")
	run("unset", "--dsn", "").requireError(t, exitUsage, "--dsn is empty")
	run("unset", "--dsn-file", "").requireError(t, exitUsage, "--dsn-file")
	run("unset", "--dsn-file", write("empty.dsn", " \n")).requireError(t, exitUsage, "is empty")
	run("unset", "--dsn-file", filepath.Join(dir, "absent")).requireError(t, exitUsage, "no such file")
	run("").requireError(t, exitUsage, "$SQLLOCK_DSN is empty")
	run("sqlite:").requireError(t, exitUsage, "needs the path")
	run("sqlite::memory:").requireError(t, exitUsage, "no file")
	run("sqlite://host/path").requireError(t, exitUsage, "names a host")
	run("oracle://host/db").requireError(t, exitUsage, "postgres://, mysql:// or sqlite:")
	run("locks.db").requireError(t, exitUsage, "postgres://, mysql:// or sqlite:")
	run("tcp(host:1/db").requireError(t, exitUsage, "postgres://, mysql:// or sqlite:")
	run("mysql://host/db?timeout=many").requireError(t, exitUsage, "cannot be used")
	run("me@tcp(host)/db?timeout=many").requireError(t, exitUsage, "cannot be used")
	run("sqlite:"+filepath.Join(dir, "absent", "locks.db")).requireError(t, exitUnavailable, "directory", "absent")
	run("sqlite:"+dir).requireError(t, exitUnavailable, dir)
}

func TestDatabaseThatCannotBeReachedIs69(t *testing.T) {
	t.Parallel()
	addr := unreachable(t)
	for _, args := range []string{"exec name -- true", "exec --backend table name -- true", "migrate up", "migrate status", "migrate down --yes"} {
		p := program(t, strings.Split(args, " ")...).with(dsnVariable + "=postgres://" + addr + "/db")
		p.run().requireError(t, exitUnavailable, addr, "refused")
	}
}

// deaf is a server that accepts connections and never answers. It tells of each.
func deaf(t *testing.T) (addr string, connected <-chan struct{}) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	accepted, gone := make(chan struct{}, 16), make(chan struct{})
	var conns []net.Conn
	go func() {
		defer close(gone)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			conns = append(conns, conn)
			accepted <- struct{}{}
		}
	}()
	t.Cleanup(func() {
		_ = listener.Close()
		<-gone
		for _, conn := range conns {
			_ = conn.Close()
		}
	})
	return listener.Addr().String(), accepted
}

func TestDeafServerIsWaitedForNoLongerThanTold(t *testing.T) {
	t.Parallel()
	addr, _ := deaf(t)
	for _, p := range []*process{
		program(t, "exec", "--backend", "table", "-w", "700ms", "name", "--", "true").with(dsnVariable + "=postgres://" + addr + "/db?sslmode=disable"),
		program(t, "exec", "--backend", "table", "name", "--", "true").with(dsnVariable + "=postgres://" + addr + "/db?sslmode=disable&connect_timeout=1"),
		program(t, "migrate", "up").with(dsnVariable + "=postgres://" + addr + "/db?sslmode=disable&connect_timeout=1"),
	} {
		o := p.run()
		o.requireError(t, exitUnavailable, addr)
		require.GreaterOrEqual(t, o.took, 700*time.Millisecond)
		require.Less(t, o.took, connectTimeout)
	}
	o := program(t, "exec", "-w", "700ms", "name", "--", "true").with(dsnVariable + "=postgres://" + addr + "/db?sslmode=disable").run()
	o.requireError(t, exitUnavailable, "the server has not answered: waited 700ms")
	require.Less(t, o.took, connectTimeout/2)
	o = program(t, "exec", "name", "--", "true").with(dsnVariable + "=postgres://" + addr + "/db?sslmode=disable&connect_timeout=1").run()
	o.requireError(t, exitUnavailable, addr)
	require.Less(t, o.took, connectTimeout/2)
}

func TestConnectingIsBoundedThoughTheDSNSaysNothing(t *testing.T) {
	t.Parallel()
	db, err := parseDSN("postgres://host/db")
	require.NoError(t, err)
	require.Equal(t, connectTimeout, db.postgres.ConnConfig.ConnectTimeout)
	db, err = parseDSN("postgres://host/db?connect_timeout=3")
	require.NoError(t, err)
	require.Equal(t, 3*time.Second, db.postgres.ConnConfig.ConnectTimeout)
}

func TestPasswordReachesTheServerThoughPgxNeverSeesItInTheURL(t *testing.T) {
	t.Parallel()
	for dsn, want := range map[string]string{
		"postgres://me:simple@host/db":                   "simple",
		"postgresql://me:%40%3A%2F%3f%23%25%20@host/db":  "@:/?#% ",
		"postgres://me@host/db?password=a%26b":           "a&b",
		"postgres://me:one@host/db?password=two":         "two",
		"postgres://me:pw@one:1,two:2/db?sslmode=prefer": "pw",
	} {
		db, err := parseDSN(dsn)
		require.NoError(t, err)
		require.True(t, db.secret)
		require.Equal(t, want, db.postgres.ConnConfig.Password)
		require.Equal(t, "me", db.postgres.ConnConfig.User)
		require.Equal(t, "db", db.postgres.ConnConfig.Database)
		require.NotContains(t, db.postgres.ConnString(), want)
	}
}

func TestPasswordIsNeverShown(t *testing.T) {
	t.Parallel()
	addr := unreachable(t)
	const secret = "hunter2"
	file := filepath.Join(t.TempDir(), "dsn")
	for _, dsn := range []string{
		"postgres://me:hunter2@" + addr + "/db",
		"postgres://me:%68unter2@" + addr + "/db",
		"postgres://me@" + addr + "/db?password=hunter2",
		"postgres://me@" + addr + "/db?sslmode=nonsense&sslpassword=hunter2",
		"postgres://me@" + addr + "/db?sslmode=nonsense&password=hunter2",
		"postgres://me:hunter2@" + addr + "/db?pool_max_conns=many",
		"postgres://me:hunter2@" + addr + "/db?connect_timeout=many",
		"postgres://me:hunter2@" + addr + "/%zz",
		"postgres://me:hunter2@" + addr + "/db?a=%zz&password=hunter2",
		"postgres://me:%zz/hunter2@" + addr + "/db",
		"postgres://me:12/hunter2@" + addr + "/db",
		"postgres://me:12?hunter2@" + addr + "/db",
		"postgres://me:12#hunter2@" + addr + "/db",
		"postgres://me:hunter2 and more@" + addr + "/db",
		"postgres://me:hunter2\n@" + addr + "/db",
		"postgres:me:hunter2@" + addr + "/db",
		"POSTGRES://me:hunter2@" + addr + "/db",
		"oracle://me:hunter2@" + addr + "/db",
		"mysql://me:hunter2@" + addr + "/db?timeout=many",
		"mysql://me:12/hunter2@" + addr + "/db",
		"me:hunter2@tcp(" + addr + ")/db",
		"me:hunter2@tcp(" + addr + ")/db?timeout=many",
		"me:hunter2@tcp(" + addr,
		"host=" + addr + " password=hunter2",
		"host=" + addr + " password='hunter2: hunter2'",
		"hunter2:hunter2",
		"hunter2",
	} {
		require.NoError(t, os.WriteFile(file, []byte(dsn), 0o600))
		for _, p := range []*process{
			program(t, "exec", "-v", "--backend", "table", "name", "--", "env").with(dsnVariable + "=" + dsn),
			program(t, "exec", "-v", "--dsn-file", file, "name", "--", "env"),
			program(t, "exec", "-v", "--backend", "table", "--dsn", dsn, "name", "--", "env"),
			program(t, "migrate", "up", "--dsn", dsn),
		} {
			o := p.run()
			require.NotEqual(t, 0, o.code)
			require.NotContains(t, o.stdout+o.stderr, secret, dsn)
		}
	}
	// The DSN in wrong places.
	for _, args := range []string{
		"--dsm=%s", "-d%s", "%s", "exec --ttl %s name", "exec -w=%s name", "exec --dsn-file %s name -- true",
		"migrate up %s", "migrate %s", "migrate print --dialect %s", "exec --dsn sqlite:/absent/%s name -- true",
	} {
		for _, dsn := range []string{"postgres://me:hunter2@host/db", "postgres://me:12/hunter2@host", "postgres://host/?password=hunter2"} {
			o := program(t, strings.Fields(fmt.Sprintf(args, dsn))...).run()
			require.NotEqual(t, 0, o.code)
			require.NotContains(t, o.stdout+o.stderr, secret, args)
		}
	}
}

func TestPasswordOnTheCommandLineIsWarnedOf(t *testing.T) {
	t.Parallel()
	dsn := testdb.Postgres(t)
	secret := dsn + "&password=hunter2"
	o := program(t, "migrate", "up", "--dsn", secret).run()
	o.requireError(t, 0, "ps", "$SQLLOCK_DSN", "--dsn-file")
	require.NotContains(t, o.stderr, "hunter2")
	program(t, "migrate", "up", "--dsn", dsn).run().requireSilent(t, 0)
	program(t, "migrate", "up").with(dsnVariable+"="+secret).run().requireSilent(t, 0)
}

func TestRedact(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"nothing to hide":                               "nothing to hide",
		"postgres://host:5432/db":                       "postgres://host:5432/db",
		"postgres://me@host/db":                         "postgres://me@host/db",
		"postgres://me:pw@host/db":                      "postgres://me:xxxxx@host/db",
		"postgres://me:p@w:p/w?#@host/db":               "postgres://me:xxxxx@host/db",
		"postgres://:pw@host/db":                        "postgres://:xxxxx@host/db",
		"x?user=me&Password=pw&a=b":                     "x?user=me&Password=xxxxx&a=b",
		"host=h password = 'p w' user=me":               "host=h password = xxxxx user=me",
		"two lines postgres://a:b@h\npostgres://c:d@h":  "two lines postgres://a:xxxxx@h\npostgres://c:xxxxx@h",
		"open u:p@w@tcp(h:1)/db: no such file":          "open u:xxxxx@tcp(h:1)/db: no such file",
		`err="open postgres://u:p\"w@h: no such file"`:  `err="open postgres://u:xxxxx@h: no such file"`,
		"`postgres://u@h/db?sslpassword=pw`: is broken": "`postgres://u@h/db?sslpassword=xxxxx is broken",
	} {
		require.Equal(t, want, redact(in))
	}
}
