-- Keeps one shared holder or permit from being removed until this transaction ends.
-- $1 resource, $2 token, $3 session
SELECT token, true FROM public.sqllock_holders WHERE resource = $1 AND token = $2 AND session = $3 FOR KEY SHARE
