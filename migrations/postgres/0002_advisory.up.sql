-- What session locks keep beside the server's advisory locks, which work without any of it. New relations only: nothing that
-- programs of version 1 use is locked or changed, and sqllock_meta.oldest_reader stays 1.

-- Their fencing tokens: one sequence for all names, so that a token is larger than that of every earlier grant of any name.
-- Without a cache, because sessions that cache values hand them out in the wrong order. A token must not be used before a
-- transaction that has taken it, and has written something else too, was committed with synchronous_commit = on: until then
-- a crash of the server may bring the same value again.
CREATE SEQUENCE sqllock_token AS bigint CACHE 1 NO CYCLE;

-- The names behind the keys of advisory locks, so that locks can be listed by name. Written by those who hold or wait for a
-- while; nothing but lists depends on it.
CREATE TABLE sqllock_names (
    key       bigint      NOT NULL,
    namespace text        COLLATE "C" NOT NULL,
    name      text        COLLATE "C" NOT NULL,
    seen_at   timestamptz NOT NULL DEFAULT now(), -- old rows may be deleted; not indexed: an update is heap-only
    PRIMARY KEY (namespace, name)
) WITH (fillfactor = 70);
CREATE INDEX sqllock_names_key ON sqllock_names (key); -- not unique: names may share a key, and then exclude one another

-- What holders tell of themselves, for leader election. Session locks end without anybody deleting their row here, so a row
-- counts only while session pid holds the advisory lock nonce: the pid alone may be that of a later session.
CREATE TABLE sqllock_leaders (
    key   bigint      PRIMARY KEY,
    token bigint      NOT NULL,
    owner text        NOT NULL,               -- for people
    value jsonb,
    since timestamptz NOT NULL,
    pid   integer     NOT NULL,
    nonce bigint      NOT NULL                -- random, never used again
) WITH (fillfactor = 70);
