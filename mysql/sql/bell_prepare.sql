-- Sleeping is not being slow.
SET SESSION long_query_time = 31536000; SELECT CONNECTION_ID()
