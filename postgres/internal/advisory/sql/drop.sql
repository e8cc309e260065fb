-- Gives back what this session should not hold. Arrays: whether of the space of keys; the key, or the pair as one number; whether exclusive.
SELECT CASE WHEN single AND exclusive THEN pg_advisory_unlock(k)
            WHEN single THEN pg_advisory_unlock_shared(k)
            WHEN exclusive THEN pg_advisory_unlock((k >> 32)::int, ((k << 32) >> 32)::int)
            ELSE pg_advisory_unlock_shared((k >> 32)::int, ((k << 32) >> 32)::int)
       END
  FROM unnest($1::bool[], $2::bigint[], $3::bool[]) AS u(single, k, exclusive)
