-- Removes all holders, and kills their tokens.
-- $1 resource
WITH taken AS (DELETE FROM public.sqllock_holders WHERE resource = $1)
UPDATE public.sqllock_resources SET token = token + 1 WHERE id = $1
