-- The lock table of github.com/sqllock/toolkit. Every table is plain: no triggers, no functions, no extensions.
-- There are no foreign keys on purpose: whoever deletes a row here has already locked what that row is about, and the
-- row locks that a foreign key takes would make renewals wait for guarded transactions.

-- One row: what this schema serves, and from where the tokens of new names count.
CREATE TABLE sqllock_meta (
    one           boolean PRIMARY KEY DEFAULT true CHECK (one),
    oldest_reader integer NOT NULL,           -- the oldest schema version whose programs may use these tables
    token_floor   bigint  NOT NULL DEFAULT 0  -- no name that was ever removed had a larger token
);
INSERT INTO sqllock_meta (oldest_reader) VALUES (1);

-- One row for each process that holds or waits, however much. Renewing touches this row and nothing else.
CREATE TABLE sqllock_sessions (
    id         bigint      PRIMARY KEY,       -- random, never used again
    owner      text        NOT NULL,          -- for people
    epoch      bigint      NOT NULL DEFAULT 0, -- raised when somebody else, or the process itself in doubt, changes what it holds
    opened_at  timestamptz NOT NULL,
    expires_at timestamptz NOT NULL           -- passing it permits the deletion of this row, no more
) WITH (fillfactor = 50);                     -- not indexed and room on the page: a renewal is a heap-only update

-- One row for each name, kept while the name is in use: the fencing token counts here.
CREATE TABLE sqllock_resources (
    id        bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    namespace text        COLLATE "C" NOT NULL,
    name      text        COLLATE "C" NOT NULL,
    token     bigint      NOT NULL,           -- of the latest holder
    used_at   timestamptz NOT NULL,
    UNIQUE (namespace, name)
) WITH (fillfactor = 70);

-- A row that exists holds. It may be deleted by its holder, by force, or by whoever has locked the resource and finds that the
-- session is gone; not by anybody while a transaction has it locked.
CREATE TABLE sqllock_holders (
    resource    bigint      NOT NULL,
    token       bigint      NOT NULL,
    mode        text        NOT NULL CHECK (mode IN ('x', 's', 'p')), -- exclusive, shared, permit
    permits     integer     NOT NULL,
    session     bigint,                       -- null: released, and kept until keep_until
    metadata    jsonb,
    acquired_at timestamptz NOT NULL,
    keep_until  timestamptz,
    PRIMARY KEY (resource, token)
);
CREATE INDEX sqllock_holders_session ON sqllock_holders (session);

-- Who waits, in the order of their ids. The row of a dead session counts for nothing.
CREATE TABLE sqllock_waiters (
    id       bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    resource bigint      NOT NULL,
    session  bigint      NOT NULL,
    mode     text        NOT NULL CHECK (mode IN ('x', 's', 'p')),
    permits  integer     NOT NULL,
    since    timestamptz NOT NULL
);
CREATE INDEX sqllock_waiters_resource ON sqllock_waiters (resource, id);
CREATE INDEX sqllock_waiters_session ON sqllock_waiters (session);
