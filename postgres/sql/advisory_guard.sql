-- Closes the barriers of a lock until the transaction ends, and then tells whether the session that holds it lives: it holds a random pair of
-- its own exclusively. $1 to $6: the barriers; $7, $8: that pair. If it is dead this transaction gets the pair, which harms nobody.
SELECT CASE WHEN pg_advisory_xact_lock_shared($1::int, $2::int) IS NOT NULL THEN
         CASE WHEN pg_advisory_xact_lock_shared($3::int, $4::int) IS NOT NULL THEN
           CASE WHEN pg_advisory_xact_lock_shared($5::int, $6::int) IS NOT NULL THEN
             NOT pg_try_advisory_xact_lock_shared($7::int, $8::int)
           END
         END
       END
