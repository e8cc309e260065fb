-- $1 namespace, $2 name
SELECT h.token, s.owner, h.metadata::text, h.acquired_at
  FROM public.sqllock_resources r
  JOIN public.sqllock_holders h ON h.resource = r.id AND h.mode = 'x'
  JOIN public.sqllock_sessions s ON s.id = h.session
 WHERE r.namespace = $1 AND r.name = $2 AND s.expires_at > clock_timestamp()
