package main

import (
	"database/sql"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	_ "modernc.org/sqlite" // the driver "sqlite"
)

// The kinds of database, by the scheme of their DSN.
const (
	dialectPostgres = "postgres"
	dialectMySQL    = "mysql"
	dialectSQLite   = "sqlite"
)

// database is what a DSN names.
type database struct {
	dialect  string
	postgres *pgxpool.Config
	mysql    *mysql.Config
	file     string // of SQLite
	secret   bool   // the DSN has a password in it
}

// parseDSN never repeats the DSN in its errors: whatever is wrong with it, it may hold a password.
func parseDSN(dsn string) (database, error) {
	scheme, rest, _ := strings.Cut(dsn, ":")
	switch {
	case scheme == "sqlite":
		return parseSQLite(rest)
	case (scheme == "postgres" || scheme == "postgresql") && strings.HasPrefix(rest, "//"):
		return parsePostgres(dsn)
	case (scheme == "mysql" || scheme == "mariadb") && strings.HasPrefix(rest, "//"):
		return parseMySQL(dsn)
	case driverDSN.MatchString(dsn):
		return parseDriverDSN(dsn)
	}
	return database{}, usage(errors.New("the DSN needs postgres://, mysql:// or sqlite: at its beginning, or the form of the Go driver for MySQL"))
}

// parseSQLite takes the path as it is: nothing in it is an escape or a parameter. To the system, ///path is /path.
func parseSQLite(path string) (database, error) {
	if strings.HasPrefix(path, "//") && !strings.HasPrefix(path, "///") {
		return database{}, usage(errors.New("a DSN sqlite://HOST/… names a host; write sqlite:PATH or sqlite:///PATH"))
	}
	switch {
	case path == "":
		return database{}, usage(errors.New("the DSN sqlite: needs the path of a file"))
	case path == ":memory:":
		return database{}, usage(errors.New("the DSN sqlite::memory: names no file that another process could see"))
	case strings.IndexByte(path, 0) >= 0:
		return database{}, usage(errors.New("the path of the DSN contains U+0000"))
	}
	return database{dialect: dialectSQLite, file: path}, nil
}

// connectTimeout is for those who set no connect_timeout: an address that swallows packets would be waited for for minutes.
const connectTimeout = 10 * time.Second

// driverDSN is the form of the Go driver, which has no scheme: a network and an address before the slash.
var driverDSN = regexp.MustCompile(`^(.*@)?[a-z0-9]+\([^()]*\)/[^/]*$`)

// parseDriverDSN repeats nothing of what the driver says: it may have taken a part of the password for something else.
func parseDriverDSN(dsn string) (database, error) {
	cfg, err := mysql.ParseDSN(dsn)
	if err != nil {
		return database{}, usage(errors.New("the DSN cannot be used: it has not the form of the Go driver for MySQL: USER:PASSWORD@tcp(HOST:PORT)/DATABASE?PARAMETERS"))
	}
	return ofMySQL(cfg), nil
}

// parseMySQL makes of a URL what the driver makes of its own form. The parameters are the driver's.
func parseMySQL(dsn string) (database, error) {
	u, err := splitURL(dsn)
	if err != nil {
		return database{}, err
	}
	address := u.Host
	if u.Port() == "" {
		address = net.JoinHostPort(u.Hostname(), "3306")
	}
	// For the driver the last slash is the one before the database.
	cfg, err := mysql.ParseDSN("tcp(" + address + ")/?" + strings.ReplaceAll(u.RawQuery, "/", "%2F"))
	if err != nil {
		return database{}, usage(fmt.Errorf("the DSN cannot be used: %w", err))
	}
	cfg.User = u.User.Username()
	cfg.Passwd, _ = u.User.Password()
	cfg.DBName = strings.TrimPrefix(u.Path, "/")
	return ofMySQL(cfg), nil
}

func ofMySQL(cfg *mysql.Config) database {
	if cfg.Timeout == 0 {
		cfg.Timeout = connectTimeout
	}
	cfg.Logger = &mysql.NopLogger{} // it logs what it also returns
	return database{dialect: dialectMySQL, mysql: cfg, secret: cfg.Passwd != ""}
}

// splitURL takes a URL apart that may have been torn at a character of its password.
func splitURL(dsn string) (*url.URL, error) {
	malformed := usage(errors.New("the DSN is not a valid URL; in a password, @ : / ? # % and spaces must be percent-encoded"))
	u, err := url.Parse(dsn)
	if err != nil {
		return nil, malformed
	}
	if _, err := url.ParseQuery(u.RawQuery); err != nil {
		return nil, malformed
	}
	_, rest, _ := strings.Cut(dsn, "://")
	if host := strings.IndexAny(rest, "/?#"); host >= 0 && strings.ContainsAny(rest[host:], "@#") {
		return nil, malformed
	}
	return u, nil
}

// parsePostgres takes the password out before pgx sees the URL, so that no error can show it.
func parsePostgres(dsn string) (database, error) {
	u, err := splitURL(dsn)
	if err != nil {
		return database{}, err
	}
	u.RawQuery = strings.ReplaceAll(u.RawQuery, "+", "%2B") // to PostgreSQL a plus is no space
	query := u.Query()
	password, _ := u.User.Password()
	if query.Has("password") {
		password = query.Get("password")
		query.Del("password")
	}
	if u.User != nil {
		u.User = url.User(u.User.Username())
	}
	u.RawQuery = strings.ReplaceAll(query.Encode(), "+", "%20")
	cfg, err := pgxpool.ParseConfig(u.String())
	if err != nil {
		return database{}, usage(fmt.Errorf("the DSN cannot be used: %w", err))
	}
	if password != "" {
		cfg.ConnConfig.Password = password
	}
	if cfg.ConnConfig.ConnectTimeout == 0 {
		cfg.ConnConfig.ConnectTimeout = connectTimeout
	}
	cfg.MaxConns = 2 // the pool only asks; locks have connections of their own
	return database{dialect: dialectPostgres, postgres: cfg, secret: password != "" || query.Has("sslpassword")}, nil
}

// open opens the database for database/sql. A SQLite file that does not exist is made only if create says so.
func (d database) open(create bool) (*sql.DB, error) {
	switch d.dialect {
	case dialectPostgres:
		return stdlib.OpenDB(*d.postgres.ConnConfig), nil
	case dialectMySQL:
		connector, err := mysql.NewConnector(d.mysql)
		if err != nil {
			return nil, usage(fmt.Errorf("the DSN cannot be used: %w", err))
		}
		return sql.OpenDB(connector), nil
	}
	if _, err := os.Stat(d.file); err != nil && !create {
		return nil, err
	}
	// A URL, because in a plain name a ? would begin the driver's parameters.
	return sql.Open("sqlite", "file:"+(&url.URL{Path: d.file}).EscapedPath())
}
