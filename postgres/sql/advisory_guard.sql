-- Closes the barriers of a lock until the transaction ends, and then tells whether the session that holds it lives and holds the key. It lives if it
-- holds a random pair of its own exclusively; if not this transaction gets the pair, which harms nobody. That alone is not enough: a
-- session that ends gives its locks up one after the other, so the key may be another's before the pair is free.
-- $1 to $6: the barriers; $7, $8: that pair; $9: the server process; $10: the key.
SELECT CASE WHEN pg_advisory_xact_lock_shared($1::int, $2::int) IS NOT NULL THEN
         CASE WHEN pg_advisory_xact_lock_shared($3::int, $4::int) IS NOT NULL THEN
           CASE WHEN pg_advisory_xact_lock_shared($5::int, $6::int) IS NOT NULL THEN
             NOT pg_try_advisory_xact_lock_shared($7::int, $8::int)
             AND EXISTS (SELECT FROM pg_locks
                          WHERE locktype = 'advisory' AND granted AND objsubid = 1 AND pid = $9::int
                            AND classid = (($10::bigint >> 32) & 4294967295)::oid AND objid = ($10::bigint & 4294967295)::oid)
           END
         END
       END
