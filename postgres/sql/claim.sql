-- Waits until no attempt of this session is under way, and lets none start: they hold the row FOR KEY SHARE.
-- $1 session
SELECT FROM public.sqllock_sessions WHERE id = $1 FOR UPDATE
