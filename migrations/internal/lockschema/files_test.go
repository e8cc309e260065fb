package lockschema

import (
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func files(names ...string) fstest.MapFS {
	all := fstest.MapFS{}
	for _, name := range names {
		all[name] = &fstest.MapFile{Data: []byte("SELECT '" + name + "';\n")}
	}
	return all
}

func TestLatestIsTheHighestVersion(t *testing.T) {
	t.Parallel()
	latest, err := Latest(files("0001_a.up.sql", "0001_a.down.sql", "0010_c.up.sql", "0002_b.up.sql", "README.md"))
	require.NoError(t, err)
	assert.Equal(t, 10, latest)

	_, err = Latest(files("README.md"))
	assert.Error(t, err)
}

func TestScriptIsTheUpMigrationsInOrderAndTheVersion(t *testing.T) {
	t.Parallel()
	script := Script("-- Tables.\n", files("0002_b.up.sql", "0001_a.up.sql", "0001_a.down.sql"))
	assert.Equal(t, `-- Tables.

-- 0001_a.up.sql

SELECT '0001_a.up.sql';

-- 0002_b.up.sql

SELECT '0002_b.up.sql';

-- The version, by which the toolkit recognises these tables.

CREATE TABLE sqllock_schema_version (version bigint NOT NULL PRIMARY KEY, dirty boolean NOT NULL);
INSERT INTO sqllock_schema_version (version, dirty) VALUES (2, false);
`, script)
}
