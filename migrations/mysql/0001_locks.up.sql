-- The lock tables of github.com/sqllock/toolkit. Every table is plain InnoDB: no triggers, no routines, no foreign keys, because the row
-- locks that those take would make renewals wait for guarded transactions. Names are bytes, times are UTC.
-- Each statement can be repeated: the server commits them one by one, and a migration that was cut off is begun again.

-- One row: what this schema serves, and from where the tokens of new names count.
CREATE TABLE IF NOT EXISTS sqllock_meta (
    one           TINYINT NOT NULL PRIMARY KEY,
    oldest_reader INT     NOT NULL,             -- the oldest schema version whose programs may use these tables
    token_floor   BIGINT  NOT NULL              -- no name that was ever removed had a larger token
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

INSERT IGNORE INTO sqllock_meta (one, oldest_reader, token_floor) VALUES (1, 1, 0);

-- One row for each process that holds or waits, however much. Renewing touches this row and no index entry.
CREATE TABLE IF NOT EXISTS sqllock_sessions (
    id         BIGINT      NOT NULL PRIMARY KEY, -- random, never used again
    owner      TEXT        NOT NULL,             -- for people
    epoch      BIGINT      NOT NULL,             -- raised when somebody else, or the process itself in doubt, changes what it holds
    opened_at  DATETIME(6) NOT NULL,
    expires_at DATETIME(6) NOT NULL,             -- passing it permits the deletion of this row, no more
    KEY by_epoch (id, epoch)                     -- whose entry attempts lock, and renewals do not change
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- One row for each name, kept while the name is in use: the fencing token counts here.
CREATE TABLE IF NOT EXISTS sqllock_resources (
    id        BIGINT         NOT NULL AUTO_INCREMENT PRIMARY KEY,
    namespace VARBINARY(255) NOT NULL,
    name      VARBINARY(255) NOT NULL,
    token     BIGINT         NOT NULL,          -- of the latest holder
    alone     BOOLEAN        NOT NULL DEFAULT 1, -- whether no other holder was there when that one was granted: then none has another token
    used_at   DATETIME(6)    NOT NULL,
    UNIQUE KEY by_name (namespace, name)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- A row that exists holds. It may be deleted by its holder, by force, or by whoever has locked the resource and finds that the
-- session is gone; not by anybody while a transaction has it locked.
CREATE TABLE IF NOT EXISTS sqllock_holders (
    resource    BIGINT      NOT NULL,
    token       BIGINT      NOT NULL,
    mode        CHAR(1)     NOT NULL,           -- x exclusive, s shared, p permit
    permits     INT         NOT NULL,
    session     BIGINT,                         -- null: released, and kept until keep_until
    metadata    MEDIUMTEXT,                     -- JSON
    acquired_at DATETIME(6) NOT NULL,
    keep_until  DATETIME(6),
    PRIMARY KEY (resource, token),
    KEY by_session (session)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- Who waits, in the order of their ids. The row of a dead session counts for nothing.
CREATE TABLE IF NOT EXISTS sqllock_waiters (
    id       BIGINT      NOT NULL AUTO_INCREMENT PRIMARY KEY,
    resource BIGINT      NOT NULL,
    session  BIGINT      NOT NULL,
    mode     CHAR(1)     NOT NULL,
    permits  INT         NOT NULL,
    since    DATETIME(6) NOT NULL,
    KEY by_resource (resource, id),
    KEY by_session (session)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- The fencing tokens of session locks (GET_LOCK), by the user lock's name, and what people call it.
CREATE TABLE IF NOT EXISTS sqllock_named (
    lock_key  VARBINARY(64)  NOT NULL PRIMARY KEY,
    namespace VARBINARY(255) NOT NULL,
    name      VARBINARY(255) NOT NULL,
    token     BIGINT         NOT NULL           -- of the latest holder
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- What the holders of session locks tell of themselves, for leader election. Nobody deletes a row here when a session ends, so it counts only
-- while one session holds both lock_key and term.
CREATE TABLE IF NOT EXISTS sqllock_leaders (
    lock_key VARBINARY(64) NOT NULL PRIMARY KEY,
    token    BIGINT        NOT NULL,
    owner    TEXT          NOT NULL,            -- for people
    value    MEDIUMTEXT,                        -- JSON
    since    DATETIME(6)   NOT NULL,
    term     VARBINARY(64) NOT NULL             -- a user lock that the session has for as long as it holds lock_key, never used again
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
