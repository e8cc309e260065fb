-- Tells all sessions something. $1: what.
SELECT pg_notify('sqllock', $1) IS NOT NULL
