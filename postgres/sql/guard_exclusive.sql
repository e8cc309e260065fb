-- Keeps the name from being granted until this transaction ends, and says who was granted it last. The lock comes with the latest
-- version of the row; the second column, which is as old as the statement's snapshot, only tells one database from another.
-- $1 resource, $2 token, $3 session
SELECT token, EXISTS (SELECT FROM public.sqllock_holders h WHERE h.resource = r.id AND h.token = $2 AND h.session = $3)
  FROM public.sqllock_resources r WHERE id = $1 FOR SHARE OF r
