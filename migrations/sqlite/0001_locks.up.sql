-- The lock table of github.com/sqllock/toolkit in a SQLite file. Times are milliseconds since 1970, read from SQLite's clock.

-- One row: what this schema serves, and from where the tokens of new names count.
CREATE TABLE sqllock_meta (
    one           INTEGER PRIMARY KEY CHECK (one = 1),
    oldest_reader INTEGER NOT NULL,           -- the oldest schema version whose programs may use these tables
    token_floor   INTEGER NOT NULL DEFAULT 0  -- no name that was ever removed had a larger token
);
INSERT INTO sqllock_meta (one, oldest_reader) VALUES (1, 1);

-- One row for each process that holds or waits, however much. Renewing touches this row and nothing else.
CREATE TABLE sqllock_sessions (
    id         INTEGER PRIMARY KEY,           -- random, never used again
    owner      TEXT    NOT NULL,              -- for people
    epoch      INTEGER NOT NULL DEFAULT 0,    -- raised when somebody else, or the process itself in doubt, changes what it holds
    opened_at  INTEGER NOT NULL,
    expires_at INTEGER NOT NULL               -- passing it permits the deletion of this row, no more
);

-- One row for each name, kept while the name is in use: the fencing token counts here.
CREATE TABLE sqllock_resources (
    id        INTEGER PRIMARY KEY AUTOINCREMENT,
    namespace TEXT    NOT NULL COLLATE BINARY,
    name      TEXT    NOT NULL COLLATE BINARY,
    token     INTEGER NOT NULL,               -- of the latest holder
    used_at   INTEGER NOT NULL,
    UNIQUE (namespace, name)
);

-- A row that exists holds, until its holder, ForceRelease, or somebody who finds its session gone deletes it.
CREATE TABLE sqllock_holders (
    resource    INTEGER NOT NULL,
    token       INTEGER NOT NULL,
    mode        TEXT    NOT NULL CHECK (mode IN ('x', 's', 'p')), -- exclusive, shared, permit
    permits     INTEGER NOT NULL,
    session     INTEGER,                      -- null: released, and kept until keep_until
    metadata    TEXT,
    acquired_at INTEGER NOT NULL,
    keep_until  INTEGER,
    PRIMARY KEY (resource, token)
) WITHOUT ROWID;
CREATE INDEX sqllock_holders_session ON sqllock_holders (session);

-- Who waits, in the order of their ids. The row of a dead session counts for nothing.
CREATE TABLE sqllock_waiters (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    resource INTEGER NOT NULL,
    session  INTEGER NOT NULL,
    mode     TEXT    NOT NULL CHECK (mode IN ('x', 's', 'p')),
    permits  INTEGER NOT NULL,
    since    INTEGER NOT NULL
);
CREATE INDEX sqllock_waiters_resource ON sqllock_waiters (resource, id);
CREATE INDEX sqllock_waiters_session ON sqllock_waiters (session);
