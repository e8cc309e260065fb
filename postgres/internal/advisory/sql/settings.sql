-- The session's own settings, whatever the role's and the database's defaults are. Those that this server does not know are left out.
-- $1: the time after which the server ends a session from which nothing came, in milliseconds; $2, $3: keepalive idle time and interval in seconds.
SELECT set_config(s.name, wanted.setting, false)
  FROM (VALUES
    ('statement_timeout', '0'),
    ('transaction_timeout', '0'),
    ('idle_in_transaction_session_timeout', '0'),
    ('lock_timeout', '0'),                        -- until the session has set the sequence of tokens, after all others that begin
    ('default_transaction_isolation', 'read committed'),
    ('default_transaction_read_only', 'off'),
    ('default_transaction_deferrable', 'off'),
    ('synchronous_commit', 'on'),                 -- until then too
    ('search_path', 'pg_catalog'),
    ('row_security', 'on'),
    ('jit', 'off'),
    ('plan_cache_mode', 'force_generic_plan'),    -- planning takes longer than any of the statements
    ('idle_session_timeout', $1),                 -- a stopped process: its kernel still acknowledges
    ('tcp_user_timeout', $1),                     -- an unreachable one
    ('tcp_keepalives_idle', $2),
    ('tcp_keepalives_interval', $3),
    ('tcp_keepalives_count', '5'),
    ('client_connection_check_interval', $3 || 's')
  ) AS wanted(name, setting)
  JOIN pg_settings s USING (name)
