package mysql

import (
	"embed"
	"io/fs"

	"github.com/sqllock/toolkit/migrations/internal/lockschema"
)

// Latest is the version of the tables that [Up] installs.
const Latest = 1

//go:embed *.sql
var files embed.FS

// Files returns the migrations, named as golang-migrate, and other tools, expect them: NNNN_title.up.sql and
// NNNN_title.down.sql, several statements each. Table names in them are not qualified. If another tool applies them, sqllock_schema_version
// must be written too, as in [SQL]: one row, with the version of the last file that was applied. The first down file drops it.
func Files() fs.FS { return files }

// SQL returns a script that installs the tables in the current database, for the client, for review, or for the migrations of the
// application. What it leaves behind is the same as after [Up], which then has nothing to do.
func SQL() string { return lockschema.Script(comment, files) }

const comment = `-- The tables of github.com/sqllock/toolkit for MySQL and MariaDB.
--
-- Run this once in the database that the toolkit is to use: mysql DATABASE <FILE
`
