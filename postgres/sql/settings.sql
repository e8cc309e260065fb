-- Before statements about one name, in the same transaction, since a pooler may give each to another connection: they are planned once, as lookups
-- by an index, whatever the tables had in them then. To plan them each time takes longer than to run them. A statement may follow only if
-- an index finds each of its rows: what a plan for empty tables does with lists is wrong for full ones.
SELECT set_config('plan_cache_mode', 'force_generic_plan', true),
       set_config('enable_bitmapscan', 'off', true),
       set_config('enable_seqscan', 'off', true),
       set_config('enable_hashjoin', 'off', true),
       set_config('enable_mergejoin', 'off', true),
       set_config('statement_timeout', '0', true)
