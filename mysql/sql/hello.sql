-- What our connections need, whatever the server's defaults and the application's DSN say. Backslashes escape in string literals, nothing is
-- cut off in silence, a lock is waited for at most a second, because whoever waits keeps others waiting, and no statement is ended by a clock
-- that is not ours. What looks like a comment is for one of the two servers only.
SET SESSION /*!80000 max_execution_time = 0, */ /*M!100100 max_statement_time = 0, */
    sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION', autocommit = 1, completion_type = 0, innodb_lock_wait_timeout = 1, lock_wait_timeout = 2,
    group_concat_max_len = 16777216, sql_select_limit = 18446744073709551615, sql_safe_updates = 0, sql_big_selects = 1, timestamp = DEFAULT,
    wait_timeout = 28800;
SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED, READ WRITE
