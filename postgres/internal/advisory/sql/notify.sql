-- Tells all sessions something. $1: what.
SELECT CASE WHEN set_config('synchronous_commit', 'off', true) = 'off' THEN pg_notify('sqllock', $1) IS NOT NULL END
