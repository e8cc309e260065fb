SELECT count(*) FROM pg_stat_activity
 WHERE backend_xmin IS NOT NULL AND backend_type = 'client backend' AND pid <> pg_backend_pid()
