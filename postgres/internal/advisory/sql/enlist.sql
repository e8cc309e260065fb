-- Says that this session waits: it takes the companion, if it has not, before it tries the key. Whoever wants it exclusively also tries
-- to be the one to whom new readers and permits yield. Arrays: companions, or null; intents, or null.
SELECT CASE WHEN c1 IS NULL OR pg_advisory_lock_shared(c1, c2) IS NOT NULL THEN
         CASE WHEN i1 IS NULL THEN false ELSE pg_try_advisory_lock(i1, i2) END
       END
  FROM unnest($1::int[], $2::int[], $3::int[], $4::int[]) AS u(c1, c2, i1, i2)
