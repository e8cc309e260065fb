-- $1 namespace
SELECT r.name, h.mode, h.permits, false AS waiting, h.token, coalesce(s.owner, ''), h.metadata::text,
       h.acquired_at AS since, s.expires_at, h.keep_until
  FROM public.sqllock_holders h
  JOIN public.sqllock_resources r ON r.id = h.resource
  LEFT JOIN public.sqllock_sessions s ON s.id = h.session
 WHERE r.namespace = $1 AND (s.expires_at > clock_timestamp() OR h.keep_until > clock_timestamp())
 UNION ALL
SELECT r.name, q.mode, q.permits, true, 0, s.owner, NULL, q.since, s.expires_at, NULL
  FROM public.sqllock_waiters q
  JOIN public.sqllock_resources r ON r.id = q.resource
  JOIN public.sqllock_sessions s ON s.id = q.session
 WHERE r.namespace = $1 AND s.expires_at > clock_timestamp()
 ORDER BY 1, waiting, since
