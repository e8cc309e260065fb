-- Attempts that the server has not even begun yet will find an epoch that is not theirs.
-- $1 session
UPDATE public.sqllock_sessions SET epoch = epoch + 1
 WHERE id = $1 AND expires_at > clock_timestamp() RETURNING epoch
