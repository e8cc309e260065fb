-- Many attempts to share. Arrays: whether this session has the key shared already; keys; barriers; intents; whether to yield to
-- those who wait for it exclusively. Answers as in lock.sql, and -2: yielded. A reader holds the barrier of permits as long as the key, and
-- permits that of readers, so that each sees the other: whoever comes first holds its own before it tests the other's.
SELECT CASE
         WHEN yields AND NOT CASE WHEN pg_try_advisory_lock_shared(i1, i2) THEN pg_advisory_unlock_shared(i1, i2) ELSE false END THEN -2
         WHEN joins THEN nextval('public.sqllock_token')
         WHEN pg_try_advisory_lock_shared(k) THEN
           CASE WHEN pg_try_advisory_lock_shared(b1, b2 # 2) THEN
                  CASE WHEN pg_try_advisory_lock(b1, b2 # 1) THEN
                         CASE WHEN pg_advisory_unlock(b1, b2 # 1) THEN nextval('public.sqllock_token') END
                       WHEN pg_advisory_unlock_shared(b1, b2 # 2) THEN
                         CASE WHEN pg_advisory_unlock_shared(k) THEN -1 END
                  END
                WHEN pg_advisory_unlock_shared(k) THEN -1
           END
       END
  FROM unnest($1::bool[], $2::bigint[], $3::int[], $4::int[], $5::int[], $6::int[], $7::bool[]) AS u(joins, k, b1, b2, i1, i2, yields)
