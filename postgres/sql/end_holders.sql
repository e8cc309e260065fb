-- $1 session
WITH mine AS (
    SELECT resource, token, coalesce(keep_until > clock_timestamp(), false) AS keep
      FROM public.sqllock_holders WHERE session = $1 FOR UPDATE SKIP LOCKED
), kept AS (
    UPDATE public.sqllock_holders h SET session = NULL FROM mine
     WHERE h.resource = mine.resource AND h.token = mine.token AND mine.keep
), deleted AS (
    DELETE FROM public.sqllock_holders h USING mine
     WHERE h.resource = mine.resource AND h.token = mine.token AND NOT mine.keep
)
SELECT resource FROM mine
