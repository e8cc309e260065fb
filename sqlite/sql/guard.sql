-- ?1 resource, ?2 token, ?3 session, ?4 exclusive
SELECT EXISTS (SELECT 1 FROM sqllock_holders h JOIN sqllock_resources r ON r.id = h.resource
                WHERE h.resource = ?1 AND h.token = ?2 AND h.session = ?3 AND (NOT ?4 OR r.token = ?2))
