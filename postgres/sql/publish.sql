-- $1 resource, $2 token, $3 metadata
UPDATE public.sqllock_holders SET metadata = $3::text::jsonb WHERE resource = $1 AND token = $2 AND session IS NOT NULL
