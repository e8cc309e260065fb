-- Gives up one holder, unless a guarded transaction has it locked, or it is gone, or to be kept: that is for release.sql.
-- $1 resource, $2 token, $3 synchronous_commit
DELETE FROM public.sqllock_holders h
 USING (SELECT resource, token FROM public.sqllock_holders
         WHERE resource = $1 AND token = $2 AND coalesce(keep_until <= clock_timestamp(), true) FOR UPDATE SKIP LOCKED) mine
 WHERE h.resource = mine.resource AND h.token = mine.token
RETURNING set_config('synchronous_commit', $3, true)
