-- Gives up what was shared. Arrays: modes s, p (a permit, others of the key are kept) and q (the last permit of the key); keys; companions;
-- barriers; slots. Answers as in unlock.sql.
SELECT CASE WHEN CASE mode
                   WHEN 's' THEN CASE WHEN pg_advisory_unlock_shared(b1, b2 # 2) THEN pg_advisory_unlock_shared(k) END
                   WHEN 'p' THEN pg_advisory_unlock(s1, s2)
                   ELSE CASE WHEN pg_advisory_unlock(s1, s2) THEN
                          CASE WHEN pg_advisory_unlock_shared(b1, b2 # 1) THEN pg_advisory_unlock_shared(k) END
                        END
                 END THEN
         CASE WHEN pg_try_advisory_lock(c1, c2) THEN
                CASE WHEN pg_advisory_unlock(c1, c2) THEN 0 END
              WHEN pg_notify('sqllock', 's' || k) IS NOT NULL THEN 1
         END
         ELSE -1
       END
  FROM unnest($1::"char"[], $2::bigint[], $3::int[], $4::int[], $5::int[], $6::int[], $7::int[], $8::int[]) AS u(mode, k, c1, c2, b1, b2, s1, s2)
