-- Names start from the floor that Purge has raised.
-- ?1 namespace, ?2 name
INSERT INTO sqllock_resources (namespace, name, token, used_at)
SELECT ?1, ?2, token_floor, CAST(unixepoch('subsec') * 1000 AS INTEGER) FROM sqllock_meta WHERE true
    ON CONFLICT (namespace, name) DO NOTHING
