-- ?1 session, ?2 resource, ?3 token
SELECT EXISTS (SELECT 1 FROM sqllock_holders h JOIN sqllock_sessions s ON s.id = h.session
                WHERE s.id = ?1 AND h.resource = ?2 AND h.token = ?3 AND s.expires_at > CAST(unixepoch('subsec') * 1000 AS INTEGER))
