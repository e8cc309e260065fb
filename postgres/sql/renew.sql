-- The only statement that holding costs: one row, one update, once in a third of the TTL.
-- A renewal that a crash undoes would let the lease end before its holder expects it, so it waits for the disk.
-- $1 session, $2 ttl in microseconds
UPDATE public.sqllock_sessions SET expires_at = clock_timestamp() + $2::bigint * interval '1 microsecond'
 WHERE id = $1 AND expires_at > clock_timestamp()
RETURNING epoch, set_config('synchronous_commit', 'on', true)
