-- One attempt at a permit. $1: key; $2, $3: barrier; $4, $5: intent; $6: yields; $7: whether this session has a permit of the key already;
-- $8, $9: the slots that it does not have; $10, $11: their barriers, held by transactions that a former holder has guarded. Answers as in
-- share.sql, and the place of the slot in the arrays. A slot is 1: ours now, 0: taken, -1: free, but guarded.
WITH RECURSIVE slot(i, got) AS (
    SELECT 0, 0
    UNION ALL
    SELECT i + 1,
           CASE WHEN pg_try_advisory_lock(($8::int[])[i + 1], ($9::int[])[i + 1]) THEN
                  CASE WHEN pg_try_advisory_lock(($10::int[])[i + 1], ($11::int[])[i + 1]) THEN
                         CASE WHEN pg_advisory_unlock(($10::int[])[i + 1], ($11::int[])[i + 1]) THEN 1 END
                       WHEN pg_advisory_unlock(($8::int[])[i + 1], ($9::int[])[i + 1]) THEN -1
                  END
                ELSE 0
           END
      FROM slot WHERE got <> 1 AND i < cardinality($8::int[])
), got AS MATERIALIZED (
    SELECT max(i) FILTER (WHERE got = 1) AS i, CASE min(got) WHEN -1 THEN -1::bigint END AS refusal FROM slot
)
SELECT answer, CASE WHEN answer >= 0 THEN (SELECT i FROM got) END
  FROM (SELECT CASE
                 WHEN $6 AND NOT CASE WHEN pg_try_advisory_lock_shared($4, $5) THEN pg_advisory_unlock_shared($4, $5) ELSE false END THEN -2
                 WHEN $7 THEN CASE WHEN (SELECT i FROM got) IS NOT NULL THEN nextval('public.sqllock_token') ELSE (SELECT refusal FROM got) END
                 WHEN pg_try_advisory_lock_shared($1) THEN
                   CASE WHEN pg_try_advisory_lock_shared($2, $3 # 1) THEN
                          CASE WHEN pg_try_advisory_lock($2, $3 # 2) THEN
                                 CASE WHEN pg_advisory_unlock($2, $3 # 2) THEN
                                   CASE WHEN (SELECT i FROM got) IS NOT NULL THEN nextval('public.sqllock_token')
                                        WHEN pg_advisory_unlock_shared($2, $3 # 1) THEN CASE WHEN pg_advisory_unlock_shared($1) THEN (SELECT refusal FROM got) END
                                   END
                                 END
                               WHEN pg_advisory_unlock_shared($2, $3 # 1) THEN CASE WHEN pg_advisory_unlock_shared($1) THEN -1 END
                          END
                        WHEN pg_advisory_unlock_shared($1) THEN -1
                   END
               END AS answer
        OFFSET 0) AS attempt
