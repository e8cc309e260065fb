-- Is this session alive, and the epoch its own?
-- ?1 session, ?2 epoch
SELECT EXISTS (SELECT 1 FROM sqllock_sessions
                WHERE id = ?1 AND epoch = ?2 AND expires_at > CAST(unixepoch('subsec') * 1000 AS INTEGER))
