package mysql_test

import (
	"context"
	"database/sql"
	"strings"
	"testing"

	driver "github.com/go-sql-driver/mysql"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sqllock/toolkit/internal/testdb"
	"github.com/sqllock/toolkit/mysql"
	"github.com/sqllock/toolkit/sqllock"
)

// TestTextsSurviveTheSettingsOfTheApplication whose character set cannot hold them, and whose string literals are of another kind: what is written
// over such connections is read over others.
func TestTextsSurviveTheSettingsOfTheApplication(t *testing.T) {
	t.Parallel()
	server := testdb.StartMySQL(t, "sql-mode=ANSI_QUOTES,NO_BACKSLASH_ESCAPES,PAD_CHAR_TO_FULL_LENGTH,PIPES_AS_CONCAT", "character-set-server=latin1")
	migrate(t, server.Config())
	s := namedSceneAt(t, server.Config())
	for setting, odd := range map[string]func(*driver.Config){
		"latin1":       func(cfg *driver.Config) { require.NoError(t, cfg.Apply(driver.Charset("latin1", "latin1_swedish_ci"))) },
		"interpolated": func(cfg *driver.Config) { cfg.InterpolateParams = true },
		"escapes":      func(cfg *driver.Config) { cfg.Params = map[string]string{"sql_mode": "''"} },
	} {
		cfg := s.cfg.Clone()
		odd(cfg)
		for name, open := range map[string]func(*driver.Config) backend{
			"Named": func(cfg *driver.Config) backend {
				return mysql.Named(cfg, mysql.WithTokens(), mysql.Namespace(setting+"'\\\u20ac"))
			},
			"Table": func(cfg *driver.Config) backend { return mysql.Table(cfg, mysql.Namespace(setting+"'\\\u20ac")) },
		} {
			t.Run(setting+name, func(t *testing.T) {
				ctx := t.Context()
				odd := &namedScene{T: t, cfg: cfg, db: s.db}
				b := open(cfg)
				t.Cleanup(func() { assert.NoError(t, b.Close(context.Background())) })
				for _, text := range []string{`\`, `\'`, "'", `"`, "`", "\u20ac", "e\u0301", "\U0001f512", "\u00ff", " n ", strings.Repeat("\u20ac", 85), strings.Repeat(`\`, 255)} {
					writer := sqllock.New(b, sqllock.Owner(text))
					reader := s.processOf(t, open)
					held := odd.acquire(writer, text)
					s.refused(reader, text)
					require.NoError(t, held.Publish(ctx, map[string]string{text: text}))
					leader, err := reader.Leader(ctx, text)
					require.NoError(t, err)
					assert.Equal(t, text, leader.Owner)
					assert.Equal(t, map[string]string{text: text}, leader.Value)
					infos, err := writer.Locks(ctx)
					require.NoError(t, err)
					require.Len(t, infos, 1)
					assert.Equal(t, text, infos[0].Name)
					require.NoError(t, held.Release(ctx))
					require.NoError(t, b.(interface {
						WithTx(ctx context.Context, name string, fn func(*sql.Tx) error) error
					}).WithTx(ctx, text, func(*sql.Tx) error {
						s.refused(reader, text)
						return nil
					}))
					require.NoError(t, writer.Close(ctx))
				}
			})
		}
	}
}
