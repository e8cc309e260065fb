-- Waits, as long as lock_timeout allows, for transactions that guard the name.
-- $1 namespace, $2 name
SELECT id FROM public.sqllock_resources WHERE namespace = $1 AND name = $2 FOR UPDATE
