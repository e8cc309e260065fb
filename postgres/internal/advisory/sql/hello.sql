-- Who answers, and whether its advisory locks exclude anybody. $1 is the schema of the toolkit's tables, which need not be there. A session does not
-- only take values from the sequence, it also sets it.
SELECT pg_catalog.pg_backend_pid(),
       pg_catalog.version(),
       pg_catalog.pg_is_in_recovery(),
       coalesce((SELECT c.oid FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
                  WHERE n.nspname = $1 AND c.relname = 'sqllock_token' AND c.relkind = 'S' AND pg_catalog.has_schema_privilege(n.oid, 'USAGE')
                    AND pg_catalog.has_sequence_privilege(c.oid, 'USAGE')
                    AND pg_catalog.has_sequence_privilege(c.oid, 'SELECT')
                    AND pg_catalog.has_sequence_privilege(c.oid, 'UPDATE')), 0)
