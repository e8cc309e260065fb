-- Takes a random pair, which shows for as long as the session has it that what was published under its number counts. $1, $2: the pair.
SELECT pg_try_advisory_lock($1, $2)
