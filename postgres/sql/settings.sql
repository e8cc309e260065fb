-- First in every transaction, since a pooler may give each to another connection. Statements are planned once, and so that they are right for
-- tables of any size: names are looked up one by one. To plan them each time would take longer than to run them. Bitmap scans would not mark the
-- index entries of holders that are gone, and so meet all of them again each time.
SELECT set_config('plan_cache_mode', 'force_generic_plan', true),
       set_config('enable_bitmapscan', 'off', true),
       set_config('enable_seqscan', 'off', true),
       set_config('enable_hashjoin', 'off', true),
       set_config('enable_mergejoin', 'off', true),
       set_config('statement_timeout', '0', true)
