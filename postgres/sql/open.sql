-- $1 session, $2 owner, $3 ttl in microseconds
INSERT INTO public.sqllock_sessions (id, owner, opened_at, expires_at)
VALUES ($1, $2, clock_timestamp(), clock_timestamp() + $3::bigint * interval '1 microsecond')
