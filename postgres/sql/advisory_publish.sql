-- What the holder of a key tells of itself. It is written in a transaction that its lock guards, so nobody else has had the lock since and no row of a
-- later holder can be there; the token is compared all the same, for servers that were restored or replaced. The time of the grant stays that of the first
-- publication. $1 key, $2 token, $3 owner, $4 value, $5 how long it has been held, in microseconds, $6 process of the session, $7 its mark.
INSERT INTO public.sqllock_leaders AS known (key, token, owner, value, since, pid, nonce)
VALUES ($1, $2, $3, $4::text::jsonb, clock_timestamp() - $5 * interval '1 microsecond', $6, $7)
    ON CONFLICT (key) DO UPDATE
   SET token = excluded.token, owner = excluded.owner, value = excluded.value, pid = excluded.pid, nonce = excluded.nonce,
       since = CASE WHEN known.nonce = excluded.nonce THEN known.since ELSE excluded.since END
 WHERE known.token <= excluded.token OR excluded.token = 0
