-- Gives up holders that their process does not know, and says which of the known ones exist: nothing, if the epoch is another than the
-- process has expected, since then more may have been granted.
-- $1 session, $2 known resources, $3 known tokens, $4 epoch
WITH known AS (
    SELECT * FROM unnest($2::bigint[], $3::bigint[]) AS k (resource, token)
), mine AS (
    SELECT h.resource, h.token, k.token IS NOT NULL AS known, coalesce(h.keep_until > clock_timestamp(), false) AS keep
      FROM public.sqllock_holders h LEFT JOIN known k USING (resource, token)
     WHERE h.session = $1 AND (SELECT epoch FROM public.sqllock_sessions WHERE id = $1) = $4
), kept AS (
    UPDATE public.sqllock_holders h SET session = NULL FROM mine
     WHERE h.resource = mine.resource AND h.token = mine.token AND mine.keep AND NOT mine.known
), deleted AS (
    DELETE FROM public.sqllock_holders h USING mine
     WHERE h.resource = mine.resource AND h.token = mine.token AND NOT mine.keep AND NOT mine.known
)
SELECT resource, token, known FROM mine
